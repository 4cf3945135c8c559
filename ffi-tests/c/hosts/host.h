/*
 * What the hosts have in common: each program makes itself the host that its name says, and then everything here must hold in
 * it. The start method is the automatic one: MGR_START_STD cleans nothing, and is tested in atfork.c and big.c.
 */
#ifndef HOST_H
#define HOST_H

#define _GNU_SOURCE

#include "../check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* What can be known of an end in a host. */
enum knowledge { KNOWN, LOST, EITHER };

static inline mgr_t open_with(int32_t method)
{
    mgr_config_t config;
    mgr_t manager = 0;

    OK(mgr_config_new(&config));
    OK(mgr_config_start_method(config, method));
    OK(mgr_open(config, &manager));
    OK(mgr_config_free(config));
    return manager;
}

static inline mgr_id start_program(mgr_t manager, const char *program, const char *argument)
{
    mgr_request_t request;
    mgr_id id;

    OK(mgr_request_new_program(program, &request));
    if (argument != NULL)
        OK(mgr_request_argument(request, argument));
    OK(mgr_start(manager, request, &id, NULL));
    OK(mgr_request_free(request));
    return id;
}

/* The whole output of a process that has ended. */
static inline void read_output(mgr_t manager, mgr_id id, char *buffer, size_t capacity)
{
    OK(mgr_output(manager, id.text, MGR_STDOUT, buffer, capacity, NULL, NULL));
}

static inline void check_exited(enum knowledge knowledge, int32_t code, const mgr_process *process)
{
    if (knowledge == LOST || (knowledge == EITHER && process->state == MGR_LOST)) {
        EQUAL(MGR_LOST, process->state);
        EQUAL(-1, process->exit_code);
        EQUAL(0, process->signal);
    } else {
        EQUAL(MGR_EXITED, process->state);
        EQUAL(code, process->exit_code);
    }
}

static inline void check_killed(enum knowledge knowledge, int32_t signal, int32_t by, const mgr_process *process)
{
    if (knowledge == LOST || (knowledge == EITHER && process->state == MGR_LOST)) {
        EQUAL(MGR_LOST, process->state);
        EQUAL(0, process->signal);
    } else {
        EQUAL(MGR_SIGNALED, process->state);
        EQUAL(signal, process->signal);
    }
    EQUAL(-1, process->exit_code);
    EQUAL(by, process->ended_by);
}

/* Waits until there is no process with this pid, or only a zombie. */
static inline void wait_until_gone(pid_t pid)
{
    int64_t end = now_ms() + PATIENCE_MS;
    char path[64], line[512], *state;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (;;) {
        FILE *file = fopen(path, "re");
        size_t length = file == NULL ? 0 : fread(line, 1, sizeof line - 1, file);

        if (file != NULL)
            fclose(file);
        line[length] = 0;
        state = strrchr(line, ')');
        if (length == 0 || state == NULL || state[2] == 'Z' || state[2] == 'X')
            return;
        CHECK(now_ms() < end);
        pause_a_moment();
    }
}

/* The hexadecimal number after a name at the beginning of a line of /proc/PID/status. */
static inline unsigned long long status_field(const char *status, const char *name)
{
    const char *line = strstr(status, name);

    CHECK(line != NULL);
    return strtoull(line + strlen(name), NULL, 16);
}

/* A child has no blocked signal, ignores none, and holds nothing but 0, 1 and 2. */
static inline void check_clean(mgr_t manager)
{
    char text[8192], *line;
    mgr_id id = start_program(manager, "cat", "/proc/self/status");
    int descriptors = 0;

    wait_for(manager, id);
    read_output(manager, id, text, sizeof text);
    EQUAL(0, status_field(text, "SigBlk:\t"));
    EQUAL(0, status_field(text, "SigIgn:\t"));

    id = start_program(manager, "ls", "/proc/self/fd");
    wait_for(manager, id);
    read_output(manager, id, text, sizeof text);
    /* The fourth is the directory that ls reads. */
    TEXT("0\n1\n2\n3\n", text);

    output_of(manager, "ls -l /proc/self/fd", text, sizeof text);
    for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *arrow = strstr(line, " -> ");

        if (arrow == NULL)
            continue;
        descriptors++;
        if (strstr(line, " 0 -> ") != NULL)
            TEXT(" -> /dev/null", arrow);
        else if (strstr(line, " 1 -> ") != NULL || strstr(line, " 2 -> ") != NULL)
            CHECK(strncmp(" -> pipe:", arrow, 9) == 0);
        else
            CHECK(strstr(line, " 3 -> /proc/") != NULL);
    }
    EQUAL(4, descriptors);
}

static inline void check_failed_start(mgr_t manager, const char *program, const char *directory, int32_t step)
{
    mgr_error error = {.struct_size = sizeof error};
    mgr_request_t request;

    OK(mgr_request_new_program(program, &request));
    if (directory != NULL)
        OK(mgr_request_directory(request, directory));
    CODE(MGR_ERR_SPAWN, mgr_start(manager, request, NULL, &error));
    EQUAL(step, error.step);
    EQUAL(ENOENT, error.os_error);
    OK(mgr_request_free(request));
}

/* Everything that is promised, in this host. The manager is closed at the end. */
static inline void check_promises(mgr_t manager, enum knowledge knowledge)
{
    mgr_process process = {.struct_size = sizeof process};
    char text[256];
    pid_t survivor;
    mgr_id id, other;

    /* Start, output, exit status. */
    id = start(manager, "echo out; echo err >&2; read -r line || echo end of input; exit 7");
    process = wait_for(manager, id);
    check_exited(knowledge, 7, &process);
    EQUAL(MGR_BY_NOBODY, process.ended_by);
    read_output(manager, id, text, sizeof text);
    TEXT("out\nerr\nend of input\n", text);
    check_clean(manager);

    /* Starts that fail. */
    check_failed_start(manager, "/no/such/program", NULL, MGR_STEP_EXECUTE);
    check_failed_start(manager, "/bin/true", "/no/such/directory", MGR_STEP_DIRECTORY);

    /* TERM. */
    id = start(manager, "echo ready; exec sleep 300");
    wait_for_output(manager, id, 6);
    OK(mgr_signal(manager, id.text, SIGTERM));
    process = wait_for(manager, id);
    check_killed(knowledge, SIGTERM, MGR_BY_SIGNAL, &process);
    CODE(MGR_ERR_NOT_RUNNING, mgr_signal(manager, id.text, SIGTERM));

    /* A stop that needs KILL. */
    id = start(manager, "trap '' TERM; echo ready; while :; do sleep 300; done");
    wait_for_output(manager, id, 6);
    OK(mgr_stop(manager, id.text, 50, &process));
    check_killed(knowledge, SIGKILL, MGR_BY_STOP, &process);

    /* What a leader leaves behind, in its group and out of it. */
    id = start(manager, "sleep 300 & echo $!; setsid sleep 300 & exit 5");
    process = wait_for(manager, id);
    check_exited(knowledge, 5, &process);
    EQUAL(1, process.output_open);
    read_output(manager, id, text, sizeof text);
    survivor = atoi(text);
    CHECK(survivor > 1);
    OK(mgr_stop(manager, id.text, 0, NULL));
    wait_until_gone(survivor);

    /* Close. */
    id = start(manager, "echo ready; exec sleep 300");
    other = start(manager, "setsid sh -c 'echo $$; exec sleep 300'; exit 0");
    wait_for_output(manager, id, 6);
    wait_for_output(manager, other, 2);
    OK(mgr_close(manager));
    process = inspect(manager, id);
    check_killed(knowledge, SIGKILL, MGR_BY_CLOSE, &process);
    wait_until_gone(process.pid);
    process = inspect(manager, other);
    CHECK(process.state != MGR_RUNNING);
    read_output(manager, other, text, sizeof text);
    wait_until_gone(atoi(text));
    OK(mgr_release(manager));
}

/* The same with a manager of its own. */
static inline void check_host(enum knowledge knowledge)
{
    check_promises(open_manager(), knowledge);
}

/* Nothing is left to be waited for. */
static inline void check_no_children(void)
{
    EQUAL(-1, waitpid(-1, NULL, WNOHANG));
    EQUAL(ECHILD, errno);
}

/* Makes a host in which there is nothing to be cleaned, whatever it has inherited. */
static inline void become_clean(void)
{
    sigset_t none;
    int signal, descriptor;

    if (setsid() == -1)
        CHECK(errno == EPERM);
    for (signal = 1; signal < 65; signal++) {
        struct sigaction action = {.sa_handler = SIG_DFL};

        sigaction(signal, &action, NULL);
    }
    sigemptyset(&none);
    EQUAL(0, sigprocmask(SIG_SETMASK, &none, NULL));
    for (descriptor = 3; descriptor < 4096; descriptor++)
        close(descriptor);
}

static inline void set_action(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    EQUAL(0, sigaction(signal, &action, NULL));
}

static inline void block_everything(void)
{
    sigset_t all;

    sigfillset(&all);
    EQUAL(0, pthread_sigmask(SIG_SETMASK, &all, NULL));
}

/* Forks. What is buffered is written before, so that the copy does not write it again. */
static inline pid_t fork_host(void)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    return child;
}

#endif /* HOST_H */
