"""2. The flow: a Studio definition loaded, checked and interpreted; pure. Events in, actions out."""
