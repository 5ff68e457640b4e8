/* floor: the least that a relay in user space can do, to measure forkproxy against.
 *
 * usage: floor CALLS [COPY_PORT]
 *
 * It prints the ports of 2 CALLS sockets on 127.0.0.1 and reads, a line each, the port of the party that each one
 * faces. What comes from a party is sent to the other one of its call: one epoll, connected sockets, one recv and one
 * send a packet. It looks at no packet, learns no source and counts nothing. With COPY_PORT every packet is sent there
 * as well, as a relay does that forks RTP.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BATCH 512

static struct sockaddr_in loopback(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: floor CALLS [COPY_PORT]\n");
        return 2;
    }
    uint32_t count = (uint32_t)atoi(argv[1]) * 2;
    int *sockets = calloc(count, sizeof *sockets), copies = -1, epoll = epoll_create1(0);
    char line[64];
    if (!sockets || epoll < 0)
        die("start");
    for (uint32_t i = 0; i < count; i++) {
        struct sockaddr_in local = loopback(0);
        socklen_t length = sizeof local;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        sockets[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (sockets[i] < 0 || bind(sockets[i], (struct sockaddr *)&local, sizeof local) < 0
            || getsockname(sockets[i], (struct sockaddr *)&local, &length) < 0
            || epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &event) < 0)
            die("socket");
        printf("%u ", ntohs(local.sin_port));
    }
    puts("");
    for (uint32_t i = 0; i < count; i++) {
        if (!fgets(line, sizeof line, stdin))
            die("ports");
        struct sockaddr_in party = loopback((unsigned)atoi(line));
        if (connect(sockets[i], (struct sockaddr *)&party, sizeof party) < 0)
            die("connect");
    }
    if (argc == 3) {
        struct sockaddr_in recorder = loopback((unsigned)atoi(argv[2]));
        copies = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (copies < 0 || connect(copies, (struct sockaddr *)&recorder, sizeof recorder) < 0)
            die("copies");
    }
    fflush(stdout);

    struct epoll_event events[BATCH];
    unsigned char packet[2048];
    for (;;) {
        int n = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            uint32_t from = events[i].data.u32;
            ssize_t size = recv(sockets[from], packet, sizeof packet, MSG_DONTWAIT);
            if (size < 0)
                continue;
            (void)!send(sockets[from ^ 1u], packet, (size_t)size, MSG_DONTWAIT);
            if (copies >= 0)
                (void)!send(copies, packet, (size_t)size, MSG_DONTWAIT);
        }
    }
}
