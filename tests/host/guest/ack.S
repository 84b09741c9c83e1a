/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that says it is up and then grants every ACPI request of QEMU's: PCI unplug, removal of
 * a processor or a memory module, and the power button. It is woken by the BIOS timer 18 times a second
 * and asks the registers that QEMU documents in docs/specs/acpi_{pci,cpu,mem}_hotplug.
 */
#include "boot.inc"

/* Power management: status, enable, control. */
.set PM1_STATUS, 0x600
.set PM1_ENABLE, 0x602
.set PM1_CONTROL, 0x604
.set POWER_BUTTON, 0x0100
.set SLEEP_NOW_S5, 0x2000

/* PCI hotplug: the block's place depends on the machine type; the registers in it do not. */
.set PCI_Q35, 0x0cc0
.set PCI_PC, 0xae00
.set PCI_DOWN, 0x04         /* which slots shall go, one bit each */
.set PCI_EJECT, 0x08        /* write a slot's bit to let it go */
.set PCI_BUS, 0x10          /* which bus the registers above are about */
.set PCI_BUSES, 32

/* Processor and memory hotplug: a selector at 0, and flags at an offset that differs. */
.set CPU_Q35, 0x0cd8
.set CPU_PC, 0xaf00
.set CPU_FLAGS, 0x04
.set MEMORY, 0x0a00
.set MEMORY_FLAGS, 0x14
.set INSERTED, 0x02         /* write back to acknowledge */
.set REMOVE, 0x04           /* write back to acknowledge */
.set EJECT, 0x08
.set UNITS, 8

main:
    cli
    mov $(message - entry), %si
    call say

    mov $PM1_ENABLE, %dx
    mov $POWER_BUTTON, %ax
    out %ax, %dx

    /* A write of 0 to the selector leaves the old processor hotplug interface, as the DSDT does. */
    xor %eax, %eax
    mov $CPU_Q35, %dx
    out %eax, %dx
    mov $CPU_PC, %dx
    out %eax, %dx
    sti

idle:
    hlt
    mov $CPU_FLAGS, %si
    mov $CPU_Q35, %bx
    call grant_units
    mov $CPU_PC, %bx
    call grant_units
    mov $MEMORY_FLAGS, %si
    mov $MEMORY, %bx
    call grant_units
    mov $PCI_Q35, %bx
    call grant_pci
    mov $PCI_PC, %bx
    call grant_pci

    mov $PM1_STATUS, %dx
    in %dx, %ax
    test $POWER_BUTTON, %ax
    jz idle
    mov $POWER_BUTTON, %ax
    out %ax, %dx
    mov $PM1_CONTROL, %dx
    mov $SLEEP_NOW_S5, %ax
    out %ax, %dx
    jmp idle

/* bx: a PCI hotplug block. Lets go of every slot that shall go, on every bus. */
grant_pci:
    xor %ecx, %ecx
1:  lea PCI_BUS(%bx), %dx
    mov %ecx, %eax
    out %eax, %dx
    lea PCI_DOWN(%bx), %dx
    in %dx, %eax
    cmp $-1, %eax           /* nothing answers: the machine has no such block */
    je 3f
    mov %eax, %edi
    lea PCI_EJECT(%bx), %dx
2:  mov %edi, %eax          /* lowest bit of what is left, one at a time */
    neg %eax
    and %edi, %eax
    jz 3f
    out %eax, %dx
    xor %eax, %edi
    jmp 2b
3:  inc %cx
    cmp $PCI_BUSES, %cx
    jb 1b
    ret

/* bx: a processor or memory hotplug block, si: where its flags are. */
grant_units:
    xor %ecx, %ecx
1:  mov %bx, %dx
    mov %ecx, %eax
    out %eax, %dx
    lea (%bx,%si), %dx
    in %dx, %al
    cmp $0xff, %al
    je 4f
    mov %al, %ah
    test $INSERTED, %ah
    jz 2f
    mov $INSERTED, %al
    out %al, %dx
2:  test $REMOVE, %ah
    jz 3f
    mov $REMOVE, %al
    out %al, %dx
    mov $EJECT, %al
    out %al, %dx
3:  inc %cx
    cmp $UNITS, %cx
    jb 1b
4:  ret

message:
    .asciz "ACKGUEST UP\r\n"
    end_of_guest
