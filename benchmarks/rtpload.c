/* rtpload: two-party G.711 calls for a benchmark, and what became of their packets.
 *
 * usage: rtpload CALLS [TICK_US]
 *
 * Call c has two parties on 127.0.0.1: number 2 c, the caller, and 2 c + 1, the callee. It prints their ports, in
 * order, on one line, and behind them one more port, where anything may be sent: it is read and thrown away.
 * Standard input has one line for each party, "<the port that the party sends to>", in that order, and then "start".
 * It sends 50 packets a second for each party, in bursts: TICK_US (1000) apart, the parties spread evenly over the
 * 20 ms. "mark" prints one line of JSON, everything so far, and begins the delays afresh. "stop" (or the end of the
 * input) ends the sending; a last line of JSON follows when what is under way has arrived.
 *
 * A payload starts with a stamp: "FP", two zero octets, the party, its packet's number, and the time of sending
 * (CLOCK_MONOTONIC, ns), so that whoever gets it can tell loss, reordering, misrouting and delay. The time of arrival
 * is the kernel's: the generator reads when it has sent, and neither does that show in a delay, nor has the process
 * under test to wake the generator up.
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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 160
#define PACKET (12 + PAYLOAD)
#define FRAME_NS 20000000u
#define BUCKETS 20000        /* of 10 us: delays up to 200 ms */
#define COPIES UINT32_MAX    /* the socket where anything may be sent */

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

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static struct party *parties;
static uint32_t count;
static uint64_t delays[BUCKETS + 1], delay_max, slots_begun, late_slots, tardy_slots;
static uint64_t wall_ns;     /* what the kernel's time stamps are ahead of CLOCK_MONOTONIC */

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

static uint64_t arrival_ns(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - wall_ns;
        }
    }
    return now_ns();
}

/* One packet; epoll tells again if there are more. */
static void receive_one(uint32_t index)
{
    unsigned char packet[2048];
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } control;
    struct iovec part = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    struct party *p = &parties[index];
    struct stamp stamp;
    ssize_t n = recvmsg(p->fd, &message, MSG_DONTWAIT);
    if (n < 0)
        return;
    memcpy(&stamp, packet + 12, sizeof stamp);
    if (n != PACKET || memcmp(stamp.magic, "FP", 2)) {
        p->foreign++;
        return;
    }
    if (stamp.party != (index ^ 1u)) {
        p->misrouted++;
        return;
    }
    p->received++;
    if (stamp.number < p->expected) {
        p->late++;
    } else {
        p->lost += stamp.number - p->expected;
        p->expected = stamp.number + 1;
    }
    uint64_t arrival = arrival_ns(&message), delay = arrival > stamp.sent_ns ? arrival - stamp.sent_ns : 0;
    uint64_t bucket = delay / 10000u;
    delays[bucket < BUCKETS ? bucket : BUCKETS]++;
    if (delay > delay_max)
        delay_max = delay;
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

static void report(int over)
{
    uint64_t sent = 0, received = 0, lost = 0, late = 0, misrouted = 0, foreign = 0;
    for (uint32_t i = 0; i < count; i++) {
        sent += parties[i].sent;
        received += parties[i].received;
        lost += parties[i].lost + (over ? parties[i ^ 1u].sent - parties[i].expected : 0);
        late += parties[i].late;
        misrouted += parties[i].misrouted;
        foreign += parties[i].foreign;
    }
    printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"reordered\": %llu, \"misrouted\": %llu, "
           "\"foreign\": %llu, \"slots\": %llu, \"tardy_slots\": %llu, \"late_slots\": %llu, "
           "\"delay_ms\": {\"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}}\n",
           (unsigned long long)sent, (unsigned long long)received, (unsigned long long)lost,
           (unsigned long long)late, (unsigned long long)misrouted, (unsigned long long)foreign,
           (unsigned long long)slots_begun, (unsigned long long)tardy_slots, (unsigned long long)late_slots,
           percentile(0.5), percentile(0.99), percentile(0.999), (double)delay_max / 1e6);
    fflush(stdout);
    memset(delays, 0, sizeof delays);
    delay_max = 0;
}

/* A socket on loopback that epoll tells of as `name`; its port is printed. */
static int open_socket(int epoll, uint32_t name)
{
    struct sockaddr_in local = loopback(0);
    socklen_t length = sizeof local;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 1 << 18, yes = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = name};
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (name != COPIES)
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) < 0
        || getsockname(fd, (struct sockaddr *)&local, &length) < 0
        || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("socket");
    printf("%u ", ntohs(local.sin_port));
    return fd;
}

int main(int argc, char **argv)
{
    uint64_t tick = argc == 3 ? (uint64_t)atoi(argv[2]) * 1000u : 1000000u;
    if (argc < 2 || argc > 3 || tick == 0 || FRAME_NS % tick) {
        fprintf(stderr, "usage: rtpload CALLS [TICK_US]\n");
        return 2;
    }
    uint32_t slots = (uint32_t)(FRAME_NS / tick);
    count = (uint32_t)atoi(argv[1]) * 2;
    parties = calloc(count, sizeof *parties);
    int epoll = epoll_create1(0);
    if (!parties || epoll < 0)
        die("start");
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint32_t i = 0; i < count; i++)
        parties[i].fd = open_socket(epoll, i);
    int copies = open_socket(epoll, COPIES);
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

    uint64_t start = now_ns(), due = start, stop_at = 0;
    struct epoll_event events[512];
    for (uint32_t slot = 0;; slot++, due += tick) {
        struct pollfd input = {.fd = 0, .events = POLLIN};
        uint64_t now = now_ns();
        if (stop_at && now > stop_at)
            break;
        slots_begun++;
        tardy_slots += now > due + 2000000u;
        wall_ns = clock_ns(CLOCK_REALTIME) - now_ns();
        if (!stop_at && slot % slots == 0 && poll(&input, 1, 0) > 0) {
            if (fgets(line, sizeof line, stdin) && !strcmp(line, "mark\n"))
                report(0);
            else
                stop_at = now_ns() + 300000000u; /* what is under way may arrive */
        }
        if (!stop_at)
            for (uint32_t i = slot % slots; i < count; i += slots)
                send_one(&parties[i], i);
        int n;
        do {
            n = epoll_wait(epoll, events, 512, 0);
            for (int i = 0; i < n; i++) {
                unsigned char copy[2048];
                if (events[i].data.u32 != COPIES)
                    receive_one(events[i].data.u32);
                else
                    while (recv(copies, copy, sizeof copy, MSG_DONTWAIT) >= 0)
                        ;
            }
        } while (n == 512);
        if (now_ns() > due + FRAME_NS)
            late_slots++;
        struct timespec until = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    report(1);
    return 0;
}
