#include <procmgr.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int32_t code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, mgr_strerror(code));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    mgr_t manager;
    mgr_request_t request;
    mgr_id id;
    mgr_process process = { .struct_size = sizeof process };
    char buffer[4096];
    uint64_t cursor = 0;
    size_t length;
    int32_t code;

    check(mgr_open(0, &manager), "open");
    check(mgr_request_new(argc > 1 ? argv[1] : "echo hello; exit 3", &request), "request");
    /* Lossless: the command waits for this program instead of overwriting what it has not read. */
    check(mgr_request_lossless(request, 1), "lossless");
    check(mgr_start(manager, request, &id, NULL), "start");
    mgr_request_free(request);
    while ((code = mgr_read(manager, id.text, MGR_STDOUT | MGR_READ_UNTIL_END, &cursor, buffer, sizeof buffer,
                            &length, NULL, -1)) == MGR_OK)
        fwrite(buffer, 1, length, stdout);
    check(code, "read");
    check(mgr_wait(manager, id.text, -1, &process), "wait");
    printf("exit code %d\n", (int)process.exit_code);
    mgr_release(manager); /* ends everything that is left */
    return 0;
}
