/*
 * hello_cgi: the shortest correct program on libfcgi that also runs as plain CGI. The start of our
 * programs is compared with its start.
 */
#include <fcgi_stdio.h>

int main(void)
{
    while (FCGI_Accept() >= 0) {
        printf("Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nHello\n");
    }
    return 0;
}
