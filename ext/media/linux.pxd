"""What the relay uses of Linux and of C11, and nothing else."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<sys/socket.h>" nogil:
    ctypedef uint32_t socklen_t
    cdef struct sockaddr:
        uint16_t sa_family
    int AF_INET, AF_INET6, AF_UNSPEC
    int SOL_SOCKET, SO_REUSEADDR, SO_RCVBUF, SO_MEMINFO, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC
    int MSG_DONTWAIT, MSG_TRUNC, MSG_NOSIGNAL
    int socket(int domain, int kind, int protocol)
    int bind(int fd, const sockaddr *address, socklen_t length)
    int connect(int fd, const sockaddr *address, socklen_t length)
    int getsockname(int fd, sockaddr *address, socklen_t *length)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
    ssize_t recv(int fd, void *buffer, size_t length, int flags)
    ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, sockaddr *source, socklen_t *size)
    ssize_t send(int fd, const void *buffer, size_t length, int flags)
    ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const sockaddr *to, socklen_t size)

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_IPV6, IPV6_V6ONLY
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    uint32_t EPOLLIN
    int EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CLOEXEC
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int most, int milliseconds)
    int epoll_pwait2(int epoll, epoll_event *events, int most, const timespec *timeout, const void *signals)

cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_CLOEXEC, EFD_NONBLOCK
    int eventfd(unsigned int initial, int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t read(int fd, void *buffer, size_t length)
    ssize_t write(int fd, const void *buffer, size_t length)

cdef extern from "<errno.h>" nogil:
    int errno
    int EAGAIN, EINTR, ECONNREFUSED, ENOENT

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        int64_t tv_sec
        int64_t tv_nsec
    int CLOCK_MONOTONIC, CLOCK_REALTIME, TIMER_ABSTIME
    int clock_gettime(int clock, timespec *time)
    int clock_nanosleep(int clock, int flags, const timespec *time, timespec *left)

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, void *argument)

cdef extern from "<linux/sockios.h>" nogil:
    unsigned long SIOCGSTAMPNS

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int SIG_SETMASK
    int sigfillset(sigset_t *signals)
    int pthread_sigmask(int how, const sigset_t *new, sigset_t *old)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef void *(*thread_body)(void *) noexcept nogil
    int pthread_create(pthread_t *thread, const void *attributes, thread_body body, void *argument)
    int pthread_join(pthread_t thread, void **result)
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from *:
    """
    #include <stdint.h>
    #include <pthread.h>
    static inline uint64_t load_acquire(const uint64_t *word) {
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    static inline void store_release(uint64_t *word, uint64_t value) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    static inline uint64_t exchange(uint64_t *word, uint64_t value) {
        return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
    }
    static inline void fence(void) {
        __atomic_thread_fence(__ATOMIC_ACQ_REL);
    }
    /* Copies that another thread may be in the middle of: whoever reads finds out afterwards. */
    static inline void put_words(uint64_t *shared, const void *from, int count) {
        uint64_t word;
        for (int i = 0; i < count; i++) {
            __builtin_memcpy(&word, (const char *)from + 8 * i, 8);
            __atomic_store_n(shared + i, word, __ATOMIC_RELAXED);
        }
    }
    static inline void get_words(void *to, const uint64_t *shared, int count) {
        uint64_t word;
        for (int i = 0; i < count; i++) {
            word = __atomic_load_n(shared + i, __ATOMIC_RELAXED);
            __builtin_memcpy((char *)to + 8 * i, &word, 8);
        }
    }
    static inline void prefetch(const void *from, int octets) {
        for (int i = 0; i < octets; i += 64)
            __builtin_prefetch((const char *)from + i);
    }
    static inline int name_thread(pthread_t thread, const char *name) {
        return pthread_setname_np(thread, name);
    }
    """
    uint64_t load_acquire(const uint64_t *word) nogil
    void store_release(uint64_t *word, uint64_t value) nogil
    uint64_t exchange(uint64_t *word, uint64_t value) nogil
    void fence() nogil
    void put_words(uint64_t *shared, const void *source, int count) nogil
    void get_words(void *to, const uint64_t *shared, int count) nogil
    void prefetch(const void *start, int octets) nogil
    int name_thread(pthread_t thread, const char *name) nogil


cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * <int64_t>1000000000 + time.tv_nsec


cdef inline void sleep_until(int64_t ns) noexcept nogil:
    """Until this time of the monotonic clock; not at all if it is over, 0 included."""
    cdef timespec time
    if ns > 0:
        time.tv_sec = ns // 1000000000
        time.tv_nsec = ns % 1000000000
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL)
