/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that says it is up and then reads the second sector of its first disk, by the BIOS, at each tick of the
 * timer: for disks that fail.
 */
#include "boot.inc"

.set DISK, 0x80
.set READ_ONE, 0x0201       /* BIOS: read, one sector */
.set BUFFER, 0x2000         /* in the segment of the code, behind it */

main:
    cli
    mov $(message - entry), %si
    call say
    mov %cs, %ax
    mov %ax, %es
    sti
1:  hlt
    mov $BUFFER, %bx
    mov $READ_ONE, %ax
    mov $0x0002, %cx        /* cylinder 0, sector 2: they count from 1 */
    mov $DISK, %dx          /* head 0 */
    int $0x13
    sti
    jmp 1b

message:
    .asciz "READGUEST UP\r\n"
    end_of_guest
