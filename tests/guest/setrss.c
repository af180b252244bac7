/* setrss INTERFACE key AA:BB:... | function N | table N,N,... | default: `ethtool -X` for kernels older than the guest's ethtool, which they refuse. */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
    struct { struct ethtool_rxfh head; unsigned int words[512]; } set = {.head = {.cmd = ETHTOOL_SRSSH}};
    struct ifreq request = {.ifr_data = (void *)&set};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), n = 0;
    if (argc < 3 || (argc < 4 && strcmp(argv[2], "default"))) return 2;
    strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    set.head.indir_size = ETH_RXFH_INDIR_NO_CHANGE;
    if (!strcmp(argv[2], "key")) {
        for (char *at = strtok(argv[3], ":"); at; at = strtok(NULL, ":")) ((unsigned char *)set.words)[n++] = strtol(at, NULL, 16);
        set.head.key_size = n;
    } else if (!strcmp(argv[2], "function")) {
        set.head.hfunc = atoi(argv[3]);           /* 1: Toeplitz */
    } else {
        for (char *at = argc > 3 ? strtok(argv[3], ",") : NULL; at && n < 512; at = strtok(NULL, ",")) set.words[n++] = atoi(at);
        set.head.indir_size = n;                  /* none: the kernel's default */
    }
    return ioctl(fd, SIOCETHTOOL, &request) ? perror("ETHTOOL_SRSSH"), 1 : 0;
}
