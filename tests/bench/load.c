/* HTTP load from one thread: `load PORT PATH CONNECTIONS SECONDS` asks as fast as the server answers and prints one JSON object.
 * One request in flight per kept-alive connection, no pipelining, as scrapers behave; latency is from the first byte sent to the last byte received.
 * SECONDS 0: each connection asks once, all at the same time, and closes, as that many curl processes do; latency counts from before it connects.
 * Understands Content-Length and chunked bodies, which is all that the measured servers send. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, HEAD_MAX = 4096, SAMPLES_MAX = 1 << 22, READ_SIZE = 1 << 17 };

struct connection {
    char head[HEAD_MAX];
    size_t head_len;
    int64_t left; /* of the body; -1: chunked, until the closing chunk */
    char tail[5];
    bool in_body;
    double sent_at;
    int fd;
};

static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polled[CONNECTIONS_MAX];
static float *samples_ms;
static size_t sample_count;
static uint64_t bytes;
static char request[512];
static size_t request_len;
static bool once;
static int unanswered;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int open_connection(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die("connect");
    return fd;
}

static void ask(struct connection *c)
{
    c->head_len = 0;
    c->in_body = false;
    memset(c->tail, 0, sizeof c->tail);
    if (!once)
        c->sent_at = now_s();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        die("send");
}

static void keep_tail(struct connection *c, const char *data, size_t len)
{
    size_t take = len < sizeof c->tail ? len : sizeof c->tail;
    memmove(c->tail, c->tail + take, sizeof c->tail - take);
    memcpy(c->tail + sizeof c->tail - take, data + len - take, take);
}

/* Bytes of `data` that belong to the head; sets in_body when it is complete. */
static size_t read_head(struct connection *c, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (c->head_len + 1 >= sizeof c->head)
            die("head too long");
        c->head[c->head_len++] = data[i];
        if (c->head_len >= 4 && memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) == 0) {
            c->head[c->head_len] = '\0';
            if (strncmp(c->head, "HTTP/1.1 200", 12) != 0)
                die(c->head);
            const char *length = strcasestr(c->head, "content-length:");
            c->left = length ? strtoll(length + 15, NULL, 10) : -1;
            c->in_body = true;
            return i + 1;
        }
    }
    return len;
}

static bool finished(const struct connection *c)
{
    return c->in_body && (c->left == 0 || (c->left < 0 && memcmp(c->tail, "0\r\n\r\n", 5) == 0));
}

static void receive(struct connection *c)
{
    static char data[READ_SIZE];
    ssize_t got = recv(c->fd, data, sizeof data, 0);
    if (got <= 0)
        die("the server closed the connection");
    bytes += (uint64_t)got;
    size_t used = c->in_body ? 0 : read_head(c, data, (size_t)got);
    size_t body = (size_t)got - used;
    if (c->in_body && c->left >= 0)
        c->left -= (int64_t)body;
    else if (body > 0)
        keep_tail(c, data + used, body);
    if (!finished(c))
        return;
    if (sample_count < SAMPLES_MAX)
        samples_ms[sample_count++] = (float)((now_s() - c->sent_at) * 1e3);
    if (!once) {
        ask(c);
        return;
    }
    close(c->fd);
    polled[c - connections].fd = -1;
    unanswered--;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void arguments(char **argv, int *count, double *seconds)
{
    *count = atoi(argv[3]);
    *seconds = atof(argv[4]);
    once = *seconds <= 0;
    samples_ms = malloc(SAMPLES_MAX * sizeof *samples_ms);
    if (*count < 1 || *count > CONNECTIONS_MAX || !samples_ms)
        die("arguments");
    request_len = (size_t)snprintf(request, sizeof request, "GET %.300s HTTP/1.1\r\nHost: localhost:%s\r\nAccept: text/plain\r\n%s\r\n",
                                   argv[2], argv[1], once ? "Connection: close\r\n" : "");
}

static void begin(uint16_t port, int count)
{
    for (int i = 0; i < count; i++) {
        connections[i].sent_at = now_s();
        connections[i].fd = open_connection(port);
        polled[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
        if (once)
            ask(&connections[i]);
    }
    for (int i = 0; i < count && !once; i++)
        ask(&connections[i]);
}

static void report(double took)
{
    qsort(samples_ms, sample_count, sizeof *samples_ms, by_size);
    if (sample_count == 0)
        die("no answer");
    printf("{\"requests\": %zu, \"per_second\": %.1f, \"page_bytes\": %.0f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           sample_count, (double)sample_count / took, (double)bytes / (double)sample_count, (double)samples_ms[sample_count / 2],
           (double)samples_ms[sample_count * 99 / 100], (double)samples_ms[sample_count - 1]);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: load PORT PATH CONNECTIONS SECONDS\n");
        return 64;
    }
    int count;
    double seconds;
    arguments(argv, &count, &seconds);
    double start = now_s();
    begin((uint16_t)atoi(argv[1]), count);
    unanswered = once ? count : 0;
    while (once ? unanswered > 0 : now_s() - start < seconds) {
        if (poll(polled, (nfds_t)count, 30000) <= 0)
            die("poll");
        for (int i = 0; i < count; i++)
            if (polled[i].revents)
                receive(&connections[i]);
    }
    report(now_s() - start);
    free(samples_ms);
    return 0;
}
