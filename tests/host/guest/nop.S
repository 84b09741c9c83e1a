/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that says it is up and then answers nothing: no unplug, no power button. */
#include "boot.inc"

main:
    cli
    mov $(message - entry), %si
    call say
    sti
1:  hlt
    jmp 1b

message:
    .asciz "NOPGUEST UP\r\n"
    end_of_guest
