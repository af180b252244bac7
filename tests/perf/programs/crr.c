// crr - new TCP connections a second (connect, request, response, close), and UDP round trips.
//
//   crr serve PORT                                   answers both, one process
//   crr connect ADDRESS PORT SECONDS CONNECTIONS     so many at a time, one byte each way, the server closes
//   crr ask ADDRESS PORT SECONDS GAP [SPORT]         one datagram, its answer, GAP microseconds of rest; from a source port
//
// The two that ask print what was done as JSON, times in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 128, BACKLOG = 4096, SAMPLES = 1 << 22, PATIENCE_MS = 200 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in at(const char *address, const char *port)
{
    return (struct sockaddr_in){AF_INET, htons(atoi(port)), {address ? inet_addr(address) : INADDR_ANY}, {0}};
}

static void watch(int epoll, int fd, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, operation, fd, &event)) fail("epoll_ctl");
}

// -- answering ------------------------------------------------------------------------------------------------------------

static void accept_all(int epoll, int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, fd, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void answer_datagrams(int fd)
{
    char data[2048];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length;
    while ((length = recvfrom(fd, data, sizeof data, 0, (void *)&from, &size)) > 0)
        sendto(fd, data, length, 0, (void *)&from, size);
}

// The server closes, so TIME_WAIT is here and the client's ports are free again.
static void answer_stream(int fd)
{
    char data[64];
    ssize_t length = recv(fd, data, sizeof data, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length > 0) send(fd, data, length, MSG_NOSIGNAL);
    close(fd);
}

static void serve(const char *port)
{
    struct sockaddr_in own = at(NULL, port);
    int on = 1, tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(tcp, (void *)&own, sizeof own) || listen(tcp, BACKLOG) || bind(udp, (void *)&own, sizeof own)) fail("bind");
    int epoll = epoll_create1(0);
    watch(epoll, tcp, EPOLL_CTL_ADD, EPOLLIN);
    watch(epoll, udp, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        struct epoll_event ready[EVENTS];
        int n = epoll_wait(epoll, ready, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == tcp) accept_all(epoll, tcp);
            else if (fd == udp) answer_datagrams(udp);
            else answer_stream(fd);
        }
    }
}

// -- asking ---------------------------------------------------------------------------------------------------------------

static int ascending(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static void report(uint64_t done, uint64_t failed, double seconds, double *took)
{
    uint64_t n = done < SAMPLES ? done : SAMPLES;
    qsort(took, n, sizeof *took, ascending);
    printf("{\"done\": %llu, \"failed\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", (unsigned long long)done,
           (unsigned long long)failed, seconds, n ? took[n / 2] * 1e6 : 0, n ? took[(uint64_t)(n * .99)] * 1e6 : 0);
}

enum State { CONNECTING, ASKED, ANSWERED };

struct Connection {
    enum State state;
    double born;
};

static void dial(int epoll, const struct sockaddr_in *to, struct Connection *connections, int most)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd >= most) fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections[fd] = (struct Connection){CONNECTING, now()};
    if (connect(fd, (const void *)to, sizeof *to) && errno != EINPROGRESS) fail("connect");
    watch(epoll, fd, EPOLL_CTL_ADD, EPOLLOUT);
}

// One step of a connection: 0 it goes on, 1 it is done, -1 it failed.
static int step(int epoll, int fd, struct Connection *connection)
{
    char data[64];
    if (connection->state == CONNECTING) {
        if (send(fd, "?", 1, MSG_NOSIGNAL) != 1) return -1;
        connection->state = ASKED;
        watch(epoll, fd, EPOLL_CTL_MOD, EPOLLIN);
        return 0;
    }
    ssize_t length = recv(fd, data, sizeof data, 0);
    if (length > 0) connection->state = ANSWERED;
    if (length > 0 || (length < 0 && errno == EAGAIN)) return 0;
    return length == 0 && connection->state == ANSWERED ? 1 : -1;
}

static void connect_for(const char *address, const char *port, double seconds, int count)
{
    struct sockaddr_in to = at(address, port);
    int most = count + 64, epoll = epoll_create1(0);
    struct Connection *connections = calloc(most, sizeof *connections);
    double *took = malloc(SAMPLES * sizeof *took), start = now();
    uint64_t done = 0, failed = 0;
    for (int i = 0; i < count; i++) dial(epoll, &to, connections, most);
    while (now() < start + seconds) {
        struct epoll_event ready[EVENTS];
        int n = epoll_wait(epoll, ready, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd, end = step(epoll, fd, connections + fd);
            if (!end) continue;
            if (end > 0) took[done++ % SAMPLES] = now() - connections[fd].born;
            else failed++;
            close(fd);
            dial(epoll, &to, connections, most);
        }
    }
    report(done, failed, now() - start, took);
}

static int answered(int fd, uint64_t number)
{
    uint64_t got;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    while (poll(&readable, 1, PATIENCE_MS) > 0)
        if (recv(fd, &got, sizeof got, 0) == sizeof got && got == number) return 1;
    return 0;
}

static void ask_for(const char *address, const char *port, double seconds, int gap, const char *own_port)
{
    struct sockaddr_in to = at(address, port), own = at(NULL, own_port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (void *)&own, sizeof own)) fail("bind");
    if (connect(fd, (void *)&to, sizeof to)) fail("connect");
    double *took = malloc(SAMPLES * sizeof *took), start = now(), t;
    uint64_t done = 0, failed = 0, number = 0;
    while ((t = now()) < start + seconds) {
        send(fd, &(uint64_t){++number}, sizeof number, 0);
        if (answered(fd, number)) took[done++ % SAMPLES] = now() - t;
        else failed++;
        if (gap) usleep(gap);
    }
    report(done, failed, now() - start, took);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "serve")) serve(argv[2]);
    else if (argc == 6 && !strcmp(argv[1], "connect")) connect_for(argv[2], argv[3], atof(argv[4]), atoi(argv[5]));
    else if (argc >= 6 && argc <= 7 && !strcmp(argv[1], "ask"))
        ask_for(argv[2], argv[3], atof(argv[4]), atoi(argv[5]), argc == 7 ? argv[6] : "0");
    else return fprintf(stderr, "usage: crr serve PORT | crr connect|ask ADDRESS PORT SECONDS CONNECTIONS|GAP [SPORT]\n"), 2;
}
