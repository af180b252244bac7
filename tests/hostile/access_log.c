/* Every access to a range of memory, one machine instruction at a time: the range is unreadable, an access faults, is noted, is let through
 * for one step of the processor, and then the range is unreadable again. Between two accesses the bytes read may be changed through another
 * mapping of the same memory, so that whoever reads twice sees two different things. x86-64, one thread. */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { PAGE = 4096, ROOM = 1 << 16, STEP = 0x100, WRITES = 2 };

struct access {
    uint64_t offset;
    uint64_t write;
};

static struct access seen[ROOM];
static size_t count;
static uint8_t *range, *twin;
static size_t size, flipped;
static int stepping;
static struct sigaction before_segv, before_trap;

static void on_segv(int number, siginfo_t *info, void *context)
{
    ucontext_t *state = context;
    uint8_t *at = info->si_addr;
    int write = (state->uc_mcontext.gregs[REG_ERR] & WRITES) != 0;

    (void) number;
    if (at < range || at >= range + size) {
        sigaction(SIGSEGV, &before_segv, NULL);
        return;
    }
    if (!stepping && count < ROOM) { /* the second page of one access is not another access */
        seen[count].offset = (uint64_t) (at - range);
        seen[count++].write = (uint64_t) write;
    }
    stepping = 1;
    mprotect((void *) ((uintptr_t) at & -(uintptr_t) PAGE), PAGE, PROT_READ | PROT_WRITE);
    state->uc_mcontext.gregs[REG_EFL] |= STEP;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    ucontext_t *state = context;
    struct access *last = &seen[count - 1];
    size_t i;

    (void) number;
    (void) info;
    mprotect(range, size, PROT_NONE);
    state->uc_mcontext.gregs[REG_EFL] &= ~(greg_t) STEP;
    stepping = 0;
    if (count && !last->write)
        for (i = 0; i < flipped && last->offset + i < size; i++)
            twin[last->offset + i] ^= 0xff;
}

/* Watch `bytes` at `start`. `flip`: bytes changed after each read, at `other`, the same memory elsewhere. */
void watch(uint8_t *start, size_t bytes, uint8_t *other, size_t flip)
{
    struct sigaction action;

    range = start, size = bytes, twin = other, flipped = flip, count = 0, stepping = 0;
    memset(&action, 0, sizeof action);
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    action.sa_sigaction = on_segv;
    sigaction(SIGSEGV, &action, &before_segv);
    action.sa_sigaction = on_trap;
    sigaction(SIGTRAP, &action, &before_trap);
    mprotect(range, size, PROT_NONE);
}

/* Watch no more; returns how often the range was accessed, and `what` points to the notes. */
size_t unwatch(struct access **what)
{
    mprotect(range, size, PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGTRAP, &before_trap, NULL);
    *what = seen;
    return count;
}
