/*
 * A host with a controlling terminal, in its foreground: a command that opens /dev/tty fails at once, instead of waiting for
 * a key, and a signal from the keyboard is the host's own. It has started something before it had the terminal: what
 * was true then is not any more.
 */
#include "host.h"

#include <sys/ioctl.h>

static void ignore(int signal)
{
    (void)signal;
}

static int in_the_terminal(const char *name)
{
    int terminal;
    char text[256];
    mgr_t before = open_manager(), manager;
    mgr_process process;
    int64_t began;
    mgr_id id;

    output_of(before, "echo early", text, sizeof text);
    TEXT("early\n", text);
    CHECK(setsid() != -1);
    terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(terminal >= 0);
    EQUAL(0, ioctl(terminal, TIOCSCTTY, 0));
    EQUAL(0, tcsetpgrp(terminal, getpgrp()));
    EQUAL(3 + 0, dup2(terminal, 3) == 3 ? 3 : terminal);
    terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    CHECK(terminal >= 0);
    set_action(SIGINT, ignore, 0);

    manager = open_manager();
    began = now_ms();
    output_of(manager, "if (exec </dev/tty) 2>/dev/null; then echo got it; else echo none; fi", text, sizeof text);
    TEXT("none\n", text);
    id = start(manager, "read -r answer </dev/tty");
    process = wait_for(manager, id);
    EQUAL(MGR_EXITED, process.state);
    CHECK(process.exit_code != 0);
    /* It does not wait for a key. */
    CHECK(now_ms() - began < 10000);
    id = start(manager, "stty -a </dev/tty; echo \"a password:\" >/dev/tty; :");
    process = wait_for(manager, id);
    EQUAL(MGR_EXITED, process.state);

    /* ^C is for the foreground, where the command is not. */
    id = start(manager, "echo ready; sleep 0.2; echo alive");
    wait_for_output(manager, id, 6);
    EQUAL(0, ioctl(terminal, TIOCSTI, "\003") == 0 ? 0 : kill(0, SIGINT));
    process = wait_for(manager, id);
    check_exited(KNOWN, 0, &process);
    EQUAL(getpgrp(), tcgetpgrp(terminal));
    OK(mgr_release(manager));
    OK(mgr_release(before));
    check_host(KNOWN);
    check_no_children();
    return 0;
}

int main(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    pid_t child;

    CHECK(master >= 0);
    EQUAL(0, grantpt(master));
    EQUAL(0, unlockpt(master));
    child = fork_host();
    if (child == 0)
        _exit(in_the_terminal(ptsname(master)));
    check_child(child);
    return 0;
}
