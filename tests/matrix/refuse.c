/*
 * Runs a program that the kernel refuses system calls, as the seccomp filters of containers do.
 *
 *     refuse SYSCALL:ERROR... -- PROGRAM ARGUMENT...
 *
 * The filter is inherited by everything that the program starts.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "add the audit number of this architecture"
#endif

struct name {
    const char *text;
    int number;
};

static const struct name SYSCALLS[] = {
    {"pidfd_open", SYS_pidfd_open},     {"pidfd_send_signal", SYS_pidfd_send_signal},
    {"close_range", SYS_close_range},   {"clone3", SYS_clone3},
    {"memfd_create", SYS_memfd_create}, {"waitid", SYS_waitid},
};
static const struct name ERRORS[] = {{"EPERM", EPERM}, {"ENOSYS", ENOSYS}, {"EACCES", EACCES}, {"EINVAL", EINVAL}};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int find(const struct name *names, size_t count, const char *text, size_t length) {
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i].text) == length && memcmp(names[i].text, text, length) == 0) return names[i].number;
    return -1;
}

int main(int argc, char **argv) {
    struct sock_filter filter[64] = {
        /* Numbers are those of this architecture; a program of another one is not filtered. */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    unsigned short length = 4;
    int at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        const char *colon = strchr(argv[at], ':');
        int number = colon ? find(SYSCALLS, LENGTH(SYSCALLS), argv[at], (size_t)(colon - argv[at])) : -1;
        int error = colon ? find(ERRORS, LENGTH(ERRORS), colon + 1, strlen(colon + 1)) : -1;
        if (number < 0 || error < 0 || length + 3u > LENGTH(filter)) {
            fprintf(stderr, "refuse: not a known SYSCALL:ERROR: %s\n", argv[at]);
            return 125;
        }
        filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
        filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
    }
    if (at + 1 >= argc) {
        fprintf(stderr, "usage: refuse SYSCALL:ERROR... -- PROGRAM ARGUMENT...\n");
        return 125;
    }
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, filter};
    /* A user without rights needs this for a filter. It changes what setuid programs do, so root goes without. */
    if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        perror("refuse: PR_SET_NO_NEW_PRIVS");
        return 125;
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("refuse: PR_SET_SECCOMP");
        return 125;
    }
    execvp(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return 127;
}
