/* phctime DEVICE: the time of a PTP clock, in ns since 1970. A clock that is busy is asked again, for two seconds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    struct timespec now;
    if (fd < 0) return perror("open"), 1;
    for (int left = 40; left; left--, usleep(50000)) {
        if (!clock_gettime((~(clockid_t)fd << 3) | 3, &now)) {  /* FD_TO_CLOCKID of clock_gettime(2) */
            printf("%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
            return 0;
        }
        if (errno != EBUSY) break;
    }
    return perror("clock_gettime"), 1;
}
