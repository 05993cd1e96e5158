/* Preloaded: file systems have no locks. NFS without its lock daemon says the one, some FUSE file systems the other. */
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>

int flock(int file, int operation) {
    (void)file, (void)operation;
    errno = getenv("NO_LOCK_DAEMON") ? ENOLCK : EOPNOTSUPP;
    return -1;
}
