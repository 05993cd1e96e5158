// The other of two that import from each other.
extern __thread int local_one;
extern int variable_one;
int function_one(int);
__thread int local_two = 1;
int variable_two = 1;
int *pointer_two = &variable_one;
__attribute__((constructor)) static void start(void) { variable_two++; }
int function_two(int depth) { return depth ? function_one(depth - 1) + local_one + *pointer_two : 0; }
