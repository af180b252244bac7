// pktblast - small UDP frames of many flows onto a device, flat out or paced.
//
// Frames are built beforehand, with correct checksums, and go through a packet socket that bypasses the queueing discipline,
// in batches of one sendmmsg(). Flow i has source port 10000 + i % SPORTS, and destination port DPORT + i / SPORTS; flows take turns.
// With SPORTS of 1 no two flows have the same destination port.
// Ends after so many seconds, or after so many frames. What the device refused for want of room counts as sent: it was offered.
//
//   pktblast -i device -m mac -M mac -S address -D address
//            [-p dport] [-s sports] [-f flows] [-b batch] [-r frames/s] [-t seconds] [-n frames]
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 60, IP = 14, UDP = IP + 20, SPORT = 10000, MOST_SPORTS = 50000, MOST_BATCH = 256 };

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

static uint32_t sum(const uint8_t *at, int length, uint32_t before)
{
    for (int i = 0; i < length; i += 2) before += at[i] << 8 | at[i + 1];
    return before;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = value >> 8;
    at[1] = value;
}

static void put_checksum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    put16(at, ~sum & 0xffff);
}

static void parse_mac(const char *text, uint8_t *mac)
{
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) {
        fprintf(stderr, "not a MAC address: %s\n", text);
        exit(2);
    }
}

// `ends`: destination MAC, source MAC. SIZE is even, so the sums need no odd byte.
static void build(uint8_t *frame, const uint8_t ends[12], uint32_t source, uint32_t destination, int sport, int dport)
{
    memset(frame, 0, SIZE);
    memcpy(frame, ends, 12);
    put16(frame + 12, ETHERTYPE_IP);
    frame[IP] = 0x45;
    put16(frame + IP + 2, SIZE - IP);
    frame[IP + 6] = 0x40;
    frame[IP + 8] = 64;
    frame[IP + 9] = IPPROTO_UDP;
    memcpy(frame + IP + 12, &source, 4);
    memcpy(frame + IP + 16, &destination, 4);
    put_checksum(frame + IP + 10, sum(frame + IP, 20, 0));
    put16(frame + UDP, sport);
    put16(frame + UDP + 2, dport);
    put16(frame + UDP + 4, SIZE - UDP);
    put_checksum(frame + UDP + 6, sum(frame + UDP, SIZE - UDP, sum(frame + IP + 12, 8, IPPROTO_UDP + SIZE - UDP)));
}

static int open_device(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1, room = 8 << 20;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(name), .sll_halen = 6};
    if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof at)) fail(name);
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on)) fail("PACKET_QDISC_BYPASS");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return fd;
}

static void blast(int fd, uint8_t *frames, uint64_t flows, int batch, double rate, double seconds, uint64_t most)
{
    struct iovec part[MOST_BATCH];
    struct mmsghdr message[MOST_BATCH] = {0};
    for (int i = 0; i < batch; i++) message[i].msg_hdr = (struct msghdr){.msg_iov = part + i, .msg_iovlen = 1};
    uint64_t sent = 0;
    double start = now(), t = start;
    while (t < start + seconds && sent < most) {
        int count = most - sent < (uint64_t)batch ? (int)(most - sent) : batch;
        for (int i = 0; i < count; i++) part[i] = (struct iovec){frames + (sent + i) % flows * SIZE, SIZE};
        int n = sendmmsg(fd, message, count, 0);
        if (n < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
        sent += n > 0 ? n : 1;  // the frame that met no room is passed over
        t = now();
        double ahead = rate > 0 ? sent / rate - (t - start) : 0;
        if (ahead > 0) usleep(ahead * 1e6);
    }
    printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent, now() - start);
}

int main(int argc, char **argv)
{
    const char *device = NULL, *source = NULL, *destination = NULL;
    uint8_t ends[12] = {0};
    int dport = 9, sports = MOST_SPORTS, flows = 1024, batch = 64, option;
    double seconds = 3600, rate = 0;
    uint64_t most = UINT64_MAX;
    while ((option = getopt(argc, argv, "i:S:D:m:M:p:s:f:b:t:r:n:")) != -1) switch (option) {
        case 'i': device = optarg; break;
        case 'S': source = optarg; break;
        case 'D': destination = optarg; break;
        case 'm': parse_mac(optarg, ends + 6); break;
        case 'M': parse_mac(optarg, ends); break;
        case 'p': dport = atoi(optarg); break;
        case 's': sports = atoi(optarg); break;
        case 'f': flows = atoi(optarg); break;
        case 'b': batch = atoi(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'n': most = strtoull(optarg, NULL, 10); break;
        default: return 2;
    }
    int within = batch >= 1 && batch <= MOST_BATCH && flows >= 1 && sports >= 1 && sports <= MOST_SPORTS;
    if (!device || !source || !destination || !within || dport + (flows - 1) / sports > 65535) {
        fprintf(stderr, "a device, two addresses, and numbers within bounds are needed\n");
        return 2;
    }
    int fd = open_device(device);
    uint8_t *frames = malloc((size_t)flows * SIZE);
    if (!frames) fail("malloc");
    for (int i = 0; i < flows; i++)
        build(frames + (size_t)i * SIZE, ends, inet_addr(source), inet_addr(destination), SPORT + i % sports, dport + i / sports);
    blast(fd, frames, flows, batch, rate, seconds, most);
}
