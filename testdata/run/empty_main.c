// The smallest program.
int main(void) {}
