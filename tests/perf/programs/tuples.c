// tuples - a flood of frames no two of which are of one flow: TCP openings and UDP from anywhere in a network to anywhere in another.
//
// Addresses, ports and protocol are drawn anew for each frame; checksums are right. Ends after so many seconds.
//
//   tuples -i device -m mac -M mac -S network/bits -D network/bits [-r frames/s] [-t seconds] [-x seed]
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

enum { SIZE = 60, IP = 14, L4 = IP + 20, BATCH = 32 };

struct network {
    uint32_t base, mask;
};

static uint64_t state;

static uint64_t draw(void)  // xorshift64*
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = value >> 8;
    at[1] = value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static uint32_t sum(const uint8_t *at, int length, uint32_t before)
{
    for (int i = 0; i < length; i += 2) before += at[i] << 8 | at[i + 1];
    return before;
}

static void put_checksum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    put16(at, ~sum & 0xffff);
}

static void build(uint8_t *frame, const struct network *from, const struct network *to)
{
    uint64_t dice = draw(), more = draw();
    int tcp = more & 1, protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
    memset(frame + IP, 0, SIZE - IP);
    frame[IP] = 0x45;
    put16(frame + IP + 2, SIZE - IP);
    frame[IP + 6] = 0x40;
    frame[IP + 8] = 64;
    frame[IP + 9] = protocol;
    put32(frame + IP + 12, from->base | ((uint32_t)dice & ~from->mask));
    put32(frame + IP + 16, to->base | ((uint32_t)(dice >> 32) & ~to->mask));
    put_checksum(frame + IP + 10, sum(frame + IP, 20, 0));
    put16(frame + L4, 1024 + (more >> 1) % 64000);
    put16(frame + L4 + 2, 1 + (more >> 32) % 65535);
    if (tcp) {
        put32(frame + L4 + 4, (uint32_t)(more >> 8));
        frame[L4 + 12] = 0x50;
        frame[L4 + 13] = 2;
        put16(frame + L4 + 14, 64240);
    } else {
        put16(frame + L4 + 4, SIZE - L4);
    }
    put_checksum(frame + L4 + (tcp ? 16 : 6), sum(frame + L4, SIZE - L4, sum(frame + IP + 12, 8, protocol + SIZE - L4)));
}

static int open_device(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(name), .sll_halen = 6};
    if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof at)) fail(name);
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on)) fail("PACKET_QDISC_BYPASS");
    return fd;
}

static struct network parse_network(char *text)
{
    char *slash = strchr(text, '/');
    int bits = slash ? atoi(slash + 1) : 32;
    if (slash) *slash = 0;
    uint32_t mask = bits ? ~0u << (32 - bits) : 0;
    return (struct network){ntohl(inet_addr(text)) & mask, mask};
}

static void parse_mac(const char *text, uint8_t *mac)
{
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) exit(2);
}

static void flood(int fd, uint8_t (*frames)[SIZE], const struct network *from, const struct network *to, double rate, double seconds)
{
    struct iovec part[BATCH];
    struct mmsghdr message[BATCH] = {0};
    for (int i = 0; i < BATCH; i++) {
        part[i] = (struct iovec){frames[i], SIZE};
        message[i].msg_hdr = (struct msghdr){.msg_iov = part + i, .msg_iovlen = 1};
    }
    uint64_t offered = 0, refused = 0;
    double start = now(), t = start;
    while (t < start + seconds) {
        for (int i = 0; i < BATCH; i++) build(frames[i], from, to);
        for (int done = 0; done < BATCH;) {
            int n = sendmmsg(fd, message + done, BATCH - done, 0);
            if (n < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
            refused += n < 0;
            done += n > 0 ? n : 1;
        }
        offered += BATCH;
        t = now();
        double ahead = rate > 0 ? offered / rate - (t - start) : 0;
        if (ahead > 0) usleep(ahead * 1e6);
        else if (ahead < -0.1) start = t - offered / rate;  // whoever was kept waiting does not make up for it at once
    }
    printf("{\"offered\": %llu, \"refused\": %llu}\n", (unsigned long long)offered, (unsigned long long)refused);
}

int main(int argc, char **argv)
{
    static uint8_t frames[BATCH][SIZE];
    const char *device = NULL;
    uint8_t ends[12] = {0};
    struct network from = {0}, to = {0};
    double rate = 0, seconds = 3600;
    int option;
    state = 88172645463325252ull;
    while ((option = getopt(argc, argv, "i:m:M:S:D:r:t:x:")) != -1) switch (option) {
        case 'i': device = optarg; break;
        case 'm': parse_mac(optarg, ends + 6); break;
        case 'M': parse_mac(optarg, ends); break;
        case 'S': from = parse_network(optarg); break;
        case 'D': to = parse_network(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'x': state += strtoull(optarg, NULL, 10) * 0x9e3779b97f4a7c15ull; break;
        default: return 2;
    }
    if (!device || !from.base || !to.base) {
        fprintf(stderr, "a device and two networks are needed\n");
        return 2;
    }
    for (int i = 0; i < BATCH; i++) {
        memcpy(frames[i], ends, 12);
        put16(frames[i] + 12, ETHERTYPE_IP);
    }
    flood(open_device(device), frames, &from, &to, rate, seconds);
}
