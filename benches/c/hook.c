// SPDX-License-Identifier: Apache-2.0
// The hook that costs least: it ends at once. With -DEDIT_AT=N it first changes byte N of the payload.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
#ifdef EDIT_AT
  int fd = open(getenv("_hook_domxml"), O_WRONLY);
  return fd < 0 || pwrite(fd, "1", 1, EDIT_AT) != 1;
#else
  return 0;
#endif
}
