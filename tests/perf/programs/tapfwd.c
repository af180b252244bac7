// tapfwd - the limit: the smallest program that moves every frame from one TAP to another, and nothing else.
//
// One thread, read() and write() in an epoll loop. Devices have one queue, with -q four: what comes from one queue leaves by the same of the
// other device. With -v frames carry a virtio-net header and both devices offload checksums and segmentation, so that packets of 64 KiB
// pass whole: the reader's header is the writer's. Devices are up as soon as both are open with all their queues.
//
//   tapfwd [-v | -q] one other
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUDGET = 256, LARGEST = 65536 + 64, VNET_HEADER = 10, MOST_QUEUES = 4 };

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_tap(const char *name, int vnet, int queues)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | (vnet ? IFF_VNET_HDR : 0) | (queues > 1 ? IFF_MULTI_QUEUE : 0)};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), size = VNET_HEADER;
    unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request)) fail(name);
    if (vnet && (ioctl(fd, TUNSETVNETHDRSZ, &size) || ioctl(fd, TUNSETOFFLOAD, offloads))) fail(name);
    return fd;
}

static void bring_up(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(any, SIOCSIFFLAGS, &request)) fail(name);
    close(any);
}

// The budget keeps a flood in one direction from holding up the other.
static void drain(int from, int to)
{
    static uint8_t frame[LARGEST];
    for (int n = 0; n < BUDGET; n++) {
        ssize_t length = read(from, frame, sizeof frame);
        if (length <= 0) return;
        // A device that is down or full refuses a frame: lost, as on a wire.
        if (write(to, frame, length) < 0 && errno != EAGAIN && errno != EIO && errno != ENOBUFS && errno != EINVAL) fail("write");
    }
}

int main(int argc, char **argv)
{
    int vnet = argc == 4 && !strcmp(argv[1], "-v"), queues = argc == 4 && !strcmp(argv[1], "-q") ? MOST_QUEUES : 1;
    if (argc - vnet - (queues > 1) != 3) return fprintf(stderr, "usage: tapfwd [-v | -q] one other\n"), 2;
    int fd[2 * MOST_QUEUES], epoll = epoll_create1(0);  // of the one device, then of the other, in turn
    for (int i = 0; i < 2 * queues; i++) {
        fd[i] = open_tap(argv[argc - 2 + i % 2], vnet, queues);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd[i], &event)) fail("epoll_ctl");
    }
    for (int i = 1; i <= 2; i++) bring_up(argv[argc - i]);
    for (;;) {
        struct epoll_event ready[2 * MOST_QUEUES];
        int n = epoll_wait(epoll, ready, 2 * MOST_QUEUES, -1);
        for (int i = 0; i < n; i++) drain(fd[ready[i].data.u32], fd[ready[i].data.u32 ^ 1]);
    }
}
