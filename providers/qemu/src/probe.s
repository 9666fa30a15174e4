# What the probe of an accelerator runs on amd64: `CODE` of probe.rs is this, assembled with
#   as --64 -o probe.o probe.s && ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -o probe.bin probe.o
# It goes to 64-bit mode, since a KVM that emulates instructions gets through the firmware and fails in the
# kernel (seen: at the first VEX instruction), and ends qemu through isa-debug-exit with (0x16 << 1) | 1 = 45.
    .code16
    .globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    # page tables at 0x1000 (PML4), 0x2000 (PDPT), 0x3000 (PD): one 2 MiB page, identity
    movw $0x1000, %di
    movw $0x1800, %cx
    rep stosw
    movw $0x2003, 0x1000
    movw $0x3003, 0x2000
    movw $0x0083, 0x3000
    movl $0x6a0, %eax          # PAE, OSFXSR, OSXMMEXCPT, PGE
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx     # EFER
    rdmsr
    orw $0x100, %ax
    wrmsr
    movl %cr0, %eax
    andb $0xfb, %al            # EM off
    orl $0x80000003, %eax      # PG, MP, PE
    movl %eax, %cr0
    lgdt gdtr
    ljmp $8, $long
    .code64
long:
    movl $7, %eax
    xorl %ecx, %ecx
    cpuid
    testl $0x100, %ebx         # BMI2
    jz 1f
    movl $1, %ecx
    shlxl %ecx, %ecx, %eax
1:  movl $3, %ecx
    movd %ecx, %xmm0
    paddd %xmm0, %xmm0
    movd %xmm0, %eax           # 6
    orb $0x10, %al
    outb %al, $0xf4            # 0x16 -> exit 45
2:  hlt
    jmp 2b
    .align 8
gdt: .quad 0, 0x00209a0000000000
gdtr: .word 15
    .long gdt
    .org 510
    .word 0xaa55
