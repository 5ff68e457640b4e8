/* rtpload: two-party G.711 calls for a benchmark, and what became of their packets.
 *
 * usage: rtpload CALLS
 *
 * Call c has two parties on 127.0.0.1: number 2 c, the caller, and 2 c + 1, the callee. It prints their ports, in
 * order, on one line. Standard input has one line for each party, "<the port that the party sends to>", in that
 * order, and then "start". It sends 50 packets a second for each party, the parties spread evenly over the 20 ms,
 * until it reads "stop" (or the end of the input), and then prints one line of JSON.
 *
 * A payload starts with a stamp: "FP", two zero octets, the party, its packet's number, and the time of sending
 * (CLOCK_MONOTONIC, ns), so that whoever gets it can tell loss, reordering, misrouting and delay.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 160
#define PACKET (12 + PAYLOAD)
#define SLOTS 20             /* parties send in one of 20 slots of 1 ms */
#define BUCKETS 20000        /* of 10 us: delays up to 200 ms */

struct stamp {
    char magic[4];
    uint32_t party;
    uint32_t number;
    uint32_t unused;
    uint64_t sent_ns;
};

struct party {
    int fd;
    uint32_t sent;
    uint32_t expected;       /* the number that the next packet from the other party should have */
    uint64_t received, lost, late, misrouted, foreign;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t delays[BUCKETS + 1], delay_max;

static struct sockaddr_in loopback(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void die(const char *what)
{
    fprintf(stderr, "rtpload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_one(struct party *p, uint32_t index)
{
    unsigned char packet[PACKET];
    struct stamp stamp = {{'F', 'P', 0, 0}, index, p->sent, 0, now_ns()};
    uint16_t sequence = htons((uint16_t)p->sent);
    uint32_t timestamp = htonl(p->sent * PAYLOAD), ssrc = htonl(0x10000u + index);
    packet[0] = 0x80;
    packet[1] = 0;
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    memset(packet + 12, 0x55, PAYLOAD);
    memcpy(packet + 12, &stamp, sizeof stamp);
    p->sent++;
    (void)!send(p->fd, packet, sizeof packet, 0);
}

static void receive_all(struct party *parties, uint32_t index)
{
    unsigned char packet[2048];
    struct party *p = &parties[index];
    ssize_t n;
    while ((n = recv(p->fd, packet, sizeof packet, MSG_DONTWAIT)) >= 0) {
        struct stamp stamp;
        if (n != PACKET) {
            p->foreign++;
            continue;
        }
        memcpy(&stamp, packet + 12, sizeof stamp);
        if (memcmp(stamp.magic, "FP", 2)) {
            p->foreign++;
            continue;
        }
        if (stamp.party != (index ^ 1u)) {
            p->misrouted++;
            continue;
        }
        p->received++;
        if (stamp.number < p->expected) {
            p->late++;
        } else {
            p->lost += stamp.number - p->expected;
            p->expected = stamp.number + 1;
        }
        uint64_t delay = now_ns() - stamp.sent_ns, bucket = delay / 10000u;
        delays[bucket < BUCKETS ? bucket : BUCKETS]++;
        if (delay > delay_max)
            delay_max = delay;
    }
}

static double percentile(double share)
{
    uint64_t total = 0, sum = 0;
    for (int i = 0; i <= BUCKETS; i++)
        total += delays[i];
    for (int i = 0; i <= BUCKETS; i++) {
        sum += delays[i];
        if (total && (double)sum >= share * (double)total)
            return (i + 1) / 100.0;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: rtpload CALLS\n");
        return 2;
    }
    uint32_t count = (uint32_t)atoi(argv[1]) * 2;
    struct party *parties = calloc(count, sizeof *parties);
    int epoll = epoll_create1(0);
    if (!parties || epoll < 0)
        die("start");
    for (uint32_t i = 0; i < count; i++) {
        struct sockaddr_in local = loopback(0);
        socklen_t length = sizeof local;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 1 << 18;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) < 0
            || getsockname(fd, (struct sockaddr *)&local, &length) < 0)
            die("bind");
        printf("%u ", ntohs(local.sin_port));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            die("epoll");
        parties[i].fd = fd;
    }
    puts("");
    fflush(stdout);

    char line[64];
    for (uint32_t i = 0; i < count; i++) {
        if (!fgets(line, sizeof line, stdin))
            die("ports");
        struct sockaddr_in remote = loopback((unsigned)atoi(line));
        if (connect(parties[i].fd, (struct sockaddr *)&remote, sizeof remote) < 0)
            die("connect");
    }
    if (!fgets(line, sizeof line, stdin))
        return 1;

    uint64_t start = now_ns(), due = start, late_slots = 0, stop_at = 0;
    struct epoll_event events[512];
    for (uint32_t slot = 0;; slot++, due += 1000000u) {
        if (!stop_at) {
            struct pollfd input = {.fd = 0, .events = POLLIN};
            if (slot % SLOTS == 0 && poll(&input, 1, 0) > 0)
                stop_at = now_ns() + 300000000u; /* what is under way may arrive */
            else
                for (uint32_t i = slot % SLOTS; i < count; i += SLOTS)
                    send_one(&parties[i], i);
        } else if (now_ns() > stop_at) {
            break;
        }
        int n;
        do {
            n = epoll_wait(epoll, events, 512, 0);
            for (int i = 0; i < n; i++)
                receive_all(parties, events[i].data.u32);
        } while (n == 512);
        if (now_ns() > due + 20000000u)
            late_slots++;
        struct timespec until = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }

    uint64_t sent = 0, received = 0, lost = 0, late = 0, misrouted = 0, foreign = 0;
    for (uint32_t i = 0; i < count; i++) {
        sent += parties[i].sent;
        received += parties[i].received;
        lost += parties[i].lost + (parties[i ^ 1u].sent - parties[i].expected);
        late += parties[i].late;
        misrouted += parties[i].misrouted;
        foreign += parties[i].foreign;
    }
    printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"reordered\": %llu, \"misrouted\": %llu, "
           "\"foreign\": %llu, \"late_slots\": %llu, \"delay_ms\": {\"p50\": %.2f, \"p99\": %.2f, \"max\": %.2f}}\n",
           (unsigned long long)sent, (unsigned long long)received, (unsigned long long)lost,
           (unsigned long long)late, (unsigned long long)misrouted, (unsigned long long)foreign,
           (unsigned long long)late_slots, percentile(0.5), percentile(0.99), (double)delay_max / 1e6);
    return 0;
}
