# The tiny guest of the tests; `CODE` of mod.rs is this, assembled with
#   as --32 -o guest.o guest.s && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.bin guest.o
# It counts its boots on the disk and says the count on the serial port, then waits for the power button.
    .code16
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movw $0x0201, %ax          # read one sector
    call disk
    incb 0x7e00
    movw $0x0301, %ax          # write it
    call disk
    movw $0x3f8, %dx           # COM1
    movb 0x7e00, %al
    addb $'0', %al
    outb %al, %dx
    movb $10, %al
    outb %al, %dx
    movw $0x602, %dx           # PM1_EN of q35 after SeaBIOS: PMBASE 0x600, ACPI 4.8.3.1
    movw $0x100, %ax           # PWRBTN_EN
    outw %ax, %dx
wait:
    sti
    hlt                        # the timer wakes it, 18 times a second
    movw $0x600, %dx           # PM1_STS
    inw %dx, %ax
    testb $1, %ah              # PWRBTN_STS
    jz wait
    movw $0x604, %dx           # PM1_CNT
    movw $0x2000, %ax          # SLP_EN, type 0: off
    outw %ax, %dx
    jmp wait
disk:                          # the sector behind this one, to or from 0x7e00
    movw $0x7e00, %bx
    movw $2, %cx
    movw $0x80, %dx
    int $0x13
    ret
    .org 510
    .word 0xaa55
