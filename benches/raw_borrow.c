/* The least a borrow can cost: the bytes floatlease sends, HMAC included, written to a socket in one call. */

#include "borrow_body.h"
#include "sign.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    int socket;
    int port;
    const char *api_key, *shared_key;
};

static struct server connect_to(const char *base_url)
{
    struct server server = {.api_key = setting("FLOATLEASE_API_KEY"), .shared_key = setting("FLOATLEASE_SHARED_KEY")};
    if (sscanf(base_url, "http://127.0.0.1:%d/", &server.port) != 1)
        fail("not a loopback URL", base_url);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)server.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.socket = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(server.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(server.socket, (struct sockaddr *)&address, sizeof address) != 0)
        fail("cannot connect to", base_url);
    return server;
}

/* Whether all of a reply is there: its header and as much body as the header announces. */
static int is_complete(const char *reply, long length)
{
    const char *end_of_header = strstr(reply, "\r\n\r\n");
    const char *body_length = strcasestr(reply, "\r\ncontent-length:");
    return end_of_header != NULL && body_length != NULL
        && end_of_header + 4 - reply + atol(body_length + strlen("\r\ncontent-length:")) <= length;
}

static void borrow(void *context)
{
    const struct server *server = context;
    struct authorisation headers = authorise(server->api_key, server->shared_key);
    char body[512], request[2048];
    int body_length = write_borrow_body(body, sizeof body);
    int length = snprintf(request, sizeof request,
                          "POST /api/v4/floating/borrow HTTP/1.1\r\n"
                          "content-length: %d\r\n"
                          "user-agent: floatlease/%s\r\n"
                          "accept: application/json\r\n"
                          "host: 127.0.0.1:%d\r\n"
                          "date: %s\r\n"
                          "authorization: %s\r\n"
                          "content-type: application/json\r\n\r\n%s",
                          body_length, setting("FLOATLEASE_VERSION"), server->port, headers.date,
                          headers.authorization, body);
    if (send(server->socket, request, (size_t)length, MSG_NOSIGNAL) != length)
        fail("the request was not sent whole", NULL);

    char reply[8192];
    long received = 0;
    do {
        long count = recv(server->socket, reply + received, sizeof reply - 1 - (size_t)received, 0);
        if (count <= 0)
            fail("the connection ended", NULL);
        received += count;
        reply[received] = '\0';
    } while (!is_complete(reply, received));
    if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0)
        fail("refused", reply);
}

int main(int argc, char **argv)
{
    struct server server = connect_to(setting("FLOATLEASE_BASE_URL"));
    measure(argc, argv, borrow, &server);
    close(server.socket);
}
