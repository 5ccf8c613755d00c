/* The least that puts TCP streams into files: what a plain C program takes for the same work.
 *
 * Reads Ethernet, IPv4, little-endian pcap; bytes go by pwrite() to where their sequence number says, so nothing is
 * held, and which copy of an overlap wins is left to chance. No time-outs, no gaps, no index, no bounds on memory,
 * no checks that the generator's captures do not need: for benches/run.sh only.
 *
 * Usage: plain CAPTURE FOLDER */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FILES = 512, BUCKETS = 1 << 20 };

struct direction {
    struct direction *next;   /* in its bucket */
    uint32_t from, to, ports; /* as on the wire */
    uint32_t first;           /* sequence number of the first byte */
    int slot;                 /* in `open_files`, or -1 */
    int made;
};

static struct direction *buckets[BUCKETS];
static struct { struct direction *of; int fd; } open_files[OPEN_FILES];
static int oldest;

static void fail(const char *what) { perror(what); exit(1); }

static uint16_t be16(const uint8_t *at) { return at[0] << 8 | at[1]; }
static uint32_t be32(const uint8_t *at) { return (uint32_t)be16(at) << 16 | be16(at + 2); }
static uint32_t le32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }

static struct direction *find(const uint8_t *ip, const uint8_t *tcp) {
    uint32_t from = le32(ip + 12), to = le32(ip + 16), ports = le32(tcp);
    uint64_t hash = ((uint64_t)from << 32 | to) * 0x9e3779b97f4a7c15u ^ ports * 0xc2b2ae3d27d4eb4fu;
    struct direction **bucket = &buckets[(hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u >> 44];
    for (struct direction *it = *bucket; it; it = it->next)
        if (it->from == from && it->to == to && it->ports == ports) return it;
    struct direction *made = calloc(1, sizeof *made);
    if (!made) fail("memory");
    *made = (struct direction){*bucket, from, to, ports, be32(tcp + 4), -1, 0};
    return *bucket = made;
}

static int file_of(struct direction *one) {
    if (one->slot >= 0) return open_files[one->slot].fd;
    int slot = oldest;
    oldest = (oldest + 1) % OPEN_FILES;
    if (open_files[slot].of) {
        close(open_files[slot].fd);
        open_files[slot].of->slot = -1;
    }
    const uint8_t *from = (void *)&one->from, *to = (void *)&one->to, *ports = (void *)&one->ports;
    char name[80];
    snprintf(name, sizeof name, "%03d.%03d.%03d.%03d.%05d-%03d.%03d.%03d.%03d.%05d", from[0], from[1], from[2],
             from[3], be16(ports), to[0], to[1], to[2], to[3], be16(ports + 2));
    int fd = open(name, O_WRONLY | O_CREAT | (one->made ? 0 : O_EXCL), 0640);
    if (fd < 0) fail(name);
    one->made = 1;
    one->slot = slot;
    open_files[slot].of = one;
    return open_files[slot].fd = fd;
}

static void segment(const uint8_t *packet, uint32_t captured) {
    if (captured < 54 || be16(packet + 12) != 0x0800) return;
    const uint8_t *ip = packet + 14;
    uint32_t total = be16(ip + 2), head = (ip[0] & 15) * 4;
    if (ip[9] != 6 || total > captured - 14) return;
    const uint8_t *tcp = ip + head;
    uint32_t header = (tcp[12] >> 4) * 4;
    struct direction *one = find(ip, tcp);
    if (tcp[13] & 2) one->first = be32(tcp + 4) + 1;
    if (total <= head + header) return;
    uint32_t len = total - head - header;
    if (pwrite(file_of(one), tcp + header, len, (int32_t)(be32(tcp + 4) - one->first)) != len) fail("pwrite");
}

int main(int count, char **words) {
    if (count != 3) return fprintf(stderr, "Usage: plain CAPTURE FOLDER\n"), 2;
    struct stat about;
    int fd = open(words[1], O_RDONLY);
    if (fd < 0 || fstat(fd, &about)) fail(words[1]);
    const uint8_t *at = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE, fd, 0), *end = at + about.st_size;
    if (at == MAP_FAILED) fail("mmap");
    if (mkdir(words[2], 0750) || chdir(words[2])) fail(words[2]);
    for (at += 24; at + 16 <= end;) {
        uint32_t captured = le32(at + 8);
        if (captured > end - at - 16) break;
        segment(at + 16, captured);
        at += 16 + captured;
    }
    return 0;
}
