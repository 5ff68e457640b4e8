/* Small C that is clumsy in Cython: socket addresses, and resetting the one pjsip_rx_data. */
#ifndef FORKPROXY_NETWORK_H
#define FORKPROXY_NETWORK_H

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "abi.h"

/* Fills `address` from a literal; returns its length, or 0 when `host` is no literal. */
static int fp_address(pj_sockaddr *address, const char *host, int port)
{
    char plain[INET6_ADDRSTRLEN];
    size_t length = strcspn(host, "%"); /* a scope id: the socket that it came by knows it */

    memset(address, 0, sizeof *address);
    if (length >= sizeof plain)
        return 0;
    memcpy(plain, host, length);
    plain[length] = 0;
    if (inet_pton(AF_INET, plain, &address->ipv4.sin_addr) == 1) {
        address->ipv4.sin_family = AF_INET;
        address->ipv4.sin_port = htons((uint16_t)port);
        return sizeof address->ipv4;
    }
    if (inet_pton(AF_INET6, plain, &address->ipv6.sin6_addr) == 1) {
        address->ipv6.sin6_family = AF_INET6;
        address->ipv6.sin6_port = htons((uint16_t)port);
        return sizeof address->ipv6;
    }
    memset(address, 0, sizeof *address);
    return 0;
}

static int fp_is_v6(const pj_sockaddr *address)
{
    return address->ipv4.sin_family == AF_INET6;
}

/* "Any peer of this family": the key under which a datagram transport serves everybody. */
static int fp_any_peer(pj_sockaddr *address, int v6)
{
    memset(address, 0, sizeof *address);
    address->ipv4.sin_family = v6 ? AF_INET6 : AF_INET;
    return v6 ? sizeof address->ipv6 : sizeof address->ipv4;
}

/* Host and port as text; `host` has INET6_ADDRSTRLEN octets. */
static void fp_address_text(const pj_sockaddr *address, char *host, int *port)
{
    if (fp_is_v6(address)) {
        inet_ntop(AF_INET6, &address->ipv6.sin6_addr, host, INET6_ADDRSTRLEN);
        *port = ntohs(address->ipv6.sin6_port);
    } else {
        inet_ntop(AF_INET, &address->ipv4.sin_addr, host, INET6_ADDRSTRLEN);
        *port = ntohs(address->ipv4.sin_port);
    }
}

/* Makes the received-message struct ready for the next message from `host`; 0 when host is no literal. */
static int fp_rx_reset(pjsip_rx_data *rdata, const char *host, int port, char *message, int length)
{
    rdata->pkt_info.src_addr_len = fp_address(&rdata->pkt_info.src_addr, host, port);
    snprintf(rdata->pkt_info.src_name, sizeof rdata->pkt_info.src_name, "%s", host);
    rdata->pkt_info.src_port = port;
    rdata->pkt_info.len = length;
    memset(&rdata->msg_info, 0, sizeof rdata->msg_info);
    memset(rdata->mod_data, 0, sizeof rdata->mod_data);
    rdata->msg_info.parse_err.prev = rdata->msg_info.parse_err.next = &rdata->msg_info.parse_err;
    rdata->msg_info.msg_buf = message;
    rdata->msg_info.len = length;
    return rdata->pkt_info.src_addr_len;
}

/* Octets that all pools in use have taken (this release counts the pools, but not their size). */
static size_t fp_pool_bytes(const pj_caching_pool *caching)
{
    size_t total = 0;
    const pj_pool_t *head = (const pj_pool_t *)&caching->used_list, *pool;

    for (pool = caching->used_list.next; pool != head; pool = pool->next)
        total += pool->capacity;
    return total;
}

#endif
