// Only the low eight bits of what main returns are the exit code.
// Exit: 44
int main(void) { return 300; }
