/*
 * A process that left its group and whose first thread has exited, so that the kernel shows it as a zombie without program
 * and environment while its other thread runs: stop and close find it all the same.
 */
#include "host.h"

#include <dirent.h>

static void *stay(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

static int be_headless(void)
{
    pthread_t thread;

    CHECK(setsid() != -1);
    EQUAL(0, pthread_create(&thread, NULL, stay, NULL));
    printf("headless %d\n", (int)getpid());
    fflush(stdout);
    close(1);
    close(2);
    pthread_exit(NULL);
}

/* How many threads are there, the exited first one included; 0 for a process that is gone. */
static int threads_of(int pid)
{
    char path[64];
    DIR *directory;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    directory = opendir(path);
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    /* Without the directory itself and its parent. */
    return count > 2 ? count - 2 : 0;
}

static int is_zombie(int pid)
{
    char path[64], line[512] = "", *state;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    CHECK(file != NULL);
    CHECK(fgets(line, sizeof line, file) != NULL);
    fclose(file);
    state = strrchr(line, ')');
    CHECK(state != NULL);
    return state[2] == 'Z';
}

int main(int argc, char **argv)
{
    char program[4096], command[5000], text[128];
    int ending, pid;

    if (argc > 1)
        return be_headless();
    CHECK(realpath(argv[0], program) != NULL);
    /* The shell forks, so that the process that leaves the group is not its leader. */
    snprintf(command, sizeof command, "'%s' headless & sleep 300", program);
    for (ending = 0; ending < 2; ending++) {
        mgr_t manager = open_manager();
        mgr_id id = start(manager, command);
        int64_t end = now_ms() + PATIENCE_MS;

        wait_for_output(manager, id, sizeof "headless 1");
        do {
            read_output(manager, id, text, sizeof text);
        } while (strchr(text, '\n') == NULL);
        pid = atoi(text + strlen("headless "));
        while (!is_zombie(pid)) {
            CHECK(now_ms() < end);
            pause_a_moment();
        }
        EQUAL(2, threads_of(pid));
        if (ending == 0)
            OK(mgr_stop(manager, id.text, 0, NULL));
        else
            OK(mgr_close(manager));
        CHECK(threads_of(pid) < 2);
        OK(mgr_release(manager));
    }
    check_no_children();
    return 0;
}
