/*
 * Buffers of no, one, exactly enough and one byte less: what fits is written, what does not fit is reported, and nothing
 * is written behind the end. Each buffer is memory of exactly its size, so that the sanitizers see one byte more.
 */
#include "check.h"

typedef int32_t text_function(mgr_t, const char *, char *, size_t, size_t *);

static int32_t output(mgr_t manager, const char *id, char *buffer, size_t capacity, size_t *length)
{
    return mgr_output(manager, id, MGR_STDOUT, buffer, capacity, length, NULL);
}

static char *memory(size_t size)
{
    char *buffer = malloc(size);

    CHECK(buffer != NULL);
    memset(buffer, '#', size);
    return buffer;
}

static void texts(mgr_t manager, mgr_id id, text_function *function, const char *expected)
{
    const size_t whole = strlen(expected);
    size_t capacity, length, index;

    length = 99;
    CODE(whole == 0 ? MGR_OK : MGR_ERR_BUFFER, function(manager, id.text, NULL, 0, &length));
    EQUAL(whole, length);
    for (capacity = 1; capacity <= whole + 2; capacity++) {
        char *buffer = memory(capacity);

        length = 99;
        if (capacity < whole) {
            CODE(MGR_ERR_BUFFER, function(manager, id.text, buffer, capacity, &length));
            EQUAL(0, errno);
            for (index = 0; index < capacity; index++)
                EQUAL('#', buffer[index]);
        } else {
            OK(function(manager, id.text, buffer, capacity, &length));
            EQUAL(0, memcmp(expected, buffer, whole));
            if (capacity > whole)
                EQUAL(0, buffer[whole]);
            if (capacity > whole + 1)
                EQUAL('#', buffer[whole + 1]);
        }
        EQUAL(whole, length);
        free(buffer);
    }
}

/* Reads all with a buffer of this size. */
static void reads(mgr_t manager, mgr_id id, int32_t stream, size_t capacity, const char *expected)
{
    const size_t whole = strlen(expected);
    uint64_t cursor = 0, lost = 99;
    char *buffer = memory(capacity), *all = memory(whole + 1);
    size_t length = 99, total = 0;
    int32_t code;

    while ((code = mgr_read(manager, id.text, stream, &cursor, buffer, capacity, &length, &lost, -1)) == MGR_OK) {
        CHECK(length >= 1 && length <= capacity);
        EQUAL(0, lost);
        CHECK(total + length <= whole);
        memcpy(all + total, buffer, length);
        total += length;
        EQUAL(total, cursor);
        if (stream & MGR_READ_WHOLE_CHARACTERS)
            CHECK(total == whole || ((unsigned char)expected[total] & 0xc0) != 0x80);
    }
    EQUAL(MGR_EOF, code);
    EQUAL(0, length);
    EQUAL(whole, total);
    EQUAL(0, memcmp(expected, all, whole));
    free(buffer);
    free(all);
}

int main(void)
{
    /* Characters of one to four bytes. */
    static const char said[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x80z\n";
    mgr_t manager = open_manager();
    mgr_truncation truncation = {.struct_size = sizeof truncation};
    mgr_request_t request = new_request("cat");
    uint64_t cursor, lost;
    char command[64], byte;
    size_t capacity, length;
    mgr_id id;

    snprintf(command, sizeof command, "printf '%%s\\n' '%.*s'", (int)(strlen(said) - 1), said);
    OK(mgr_request_free(request));
    request = new_request(command);
    OK(mgr_request_directory(request, "/"));
    OK(mgr_request_owner(request, "an owner"));
    OK(mgr_start(manager, request, &id, NULL));
    OK(mgr_request_free(request));
    wait_for(manager, id);

    texts(manager, id, output, said);
    texts(manager, id, mgr_command, command);
    texts(manager, id, mgr_directory, "/");
    texts(manager, id, mgr_owner, "an owner");
    for (capacity = 1; capacity <= strlen(said) + 1; capacity++)
        reads(manager, id, MGR_STDOUT, capacity, said);
    for (capacity = 4; capacity <= strlen(said) + 1; capacity++)
        reads(manager, id, MGR_STDOUT | MGR_READ_WHOLE_CHARACTERS, capacity, said);
    for (capacity = 1; capacity < 4; capacity++) {
        cursor = 0;
        CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, MGR_READ_WHOLE_CHARACTERS, &cursor, command, capacity, &length,
                                       NULL, -1));
    }

    /* No buffer: the call tells whether there is something to read. */
    for (cursor = 0; cursor < strlen(said); cursor++) {
        OK(mgr_read(manager, id.text, MGR_STDOUT, &cursor, NULL, 0, &length, &lost, -1));
        EQUAL(0, length);
    }
    CODE(MGR_EOF, mgr_read(manager, id.text, MGR_STDOUT, &cursor, NULL, 0, &length, &lost, -1));

    /* A process without output. */
    id = start(manager, ":");
    wait_for(manager, id);
    texts(manager, id, output, "");
    texts(manager, id, mgr_owner, "");
    reads(manager, id, MGR_STDOUT, 1, "");

    /* More than is kept: what is gone is counted, and the buffer may be smaller than that. */
    id = start(manager, "head -c 100000 /dev/zero | tr '\\0' x");
    wait_for(manager, id);
    cursor = 20000;
    OK(mgr_read(manager, id.text, MGR_STDOUT, &cursor, &byte, 1, &length, &lost, -1));
    EQUAL(1, length);
    EQUAL('x', byte);
    EQUAL(100000 - 16384 - 20000, lost);
    EQUAL(20000 + lost + 1, cursor);
    CODE(MGR_ERR_BUFFER, mgr_output(manager, id.text, MGR_STDOUT, &byte, 1, &length, &truncation));
    CHECK(length > 1);
    {
        char *buffer = memory(length);
        size_t again;

        OK(mgr_output(manager, id.text, MGR_STDOUT, buffer, length, &again, &truncation));
        EQUAL(length, again);
        EQUAL(length, truncation.retained_bytes);
        EQUAL(1, truncation.truncated);
        EQUAL(100000, truncation.original_bytes);
        free(buffer);
    }
    OK(mgr_release(manager));
    return 0;
}
