"""The program around the instructions of coverage.py and coverage_sve.py: x19
is the address of the middle of a buffer; then the program exits with 0. With
the note it is taken for one of Linux.

    print(coverage_program.text('armv8.2-a+sve', ' ldr x0, [x19]'))
"""


def text(architecture, body, functions=''):
    """Assembly that runs `body`; `functions` stand where it does not run."""
    return f'''.arch {architecture}
 .text
 .globl _start
_start:
 adrp x19, buffer
 add x19, x19, :lo12:buffer
 add x19, x19, #1024
{body}
 mov x0, #0
 mov x8, #93
 svc #0
{functions} .data
 .p2align 12
buffer: .fill 8192, 1, 1
 .section .note.ABI-tag, "a", %note
 .p2align 2
 .long 4, 16, 1
 .asciz "GNU"
 .long 0, 3, 7, 0
'''
