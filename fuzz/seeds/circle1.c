// One of two that import from each other.
extern __thread int local_two;
extern int variable_two;
int function_two(int);
__thread int local_one = 1;
int variable_one = 1;
int *pointer_one = &variable_two;
__attribute__((constructor)) static void start(void) { variable_one++; }
int function_one(int depth) { return depth ? function_two(depth - 1) + local_two + *pointer_one : 0; }
