/*
 * A host with a listening socket and 200 files that are not closed on exec: no child gets any of them, and the port is free
 * when the host closes its socket.
 */
#include "host.h"

#include <netinet/in.h>
#include <sys/socket.h>

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int i, one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    int files[200];
    mgr_t manager;
    mgr_id id;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(listener >= 0);
    EQUAL(0, bind(listener, (struct sockaddr *)&address, sizeof address));
    EQUAL(0, getsockname(listener, (struct sockaddr *)&address, &length));
    EQUAL(0, listen(listener, 5));
    for (i = 0; i < 200; i++) {
        files[i] = open("/dev/null", O_RDWR);
        CHECK(files[i] > 2);
    }
    /* One that is far away. */
    CHECK(dup2(files[0], 1000) == 1000);

    check_host(KNOWN);

    /* They are still ours, and still not close-on-exec. */
    for (i = 0; i < 200; i++)
        EQUAL(0, fcntl(files[i], F_GETFD));
    manager = open_manager();
    id = start(manager, "echo ready; exec sleep 300");
    wait_for_output(manager, id, 6);
    close(listener);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    EQUAL(0, setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    EQUAL(0, bind(listener, (struct sockaddr *)&address, sizeof address));
    EQUAL(0, listen(listener, 5));
    OK(mgr_release(manager));
    check_no_children();
    return 0;
}
