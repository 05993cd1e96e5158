// Large enough to be mapped.
__asm__(".text\n.globl filling\n.hidden filling\nfilling: .fill 70000, 1, 0x90\n.section .rodata\n.globl constants\n.hidden constants\nconstants: .fill 70000, 1, 5\n");
extern const char constants[];
void filling(void);
void (*pointer)(void) = filling;
int constant(int index) { return constants[index]; }
