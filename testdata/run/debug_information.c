// Compressed debug sections, one section a function, and a DWARF that refers to everything.
// Flags: -g3 -gz -ffunction-sections -fdata-sections -fdebug-macro
#include <stdio.h>

struct tree { struct tree *left, *right; int key; };
static struct tree nodes[100];
static int used;
static struct tree *insert(struct tree *at, int key) {
  if (!at) return nodes[used].key = key, &nodes[used++];
  if (key < at->key) at->left = insert(at->left, key);
  else at->right = insert(at->right, key);
  return at;
}
static int depth(const struct tree *at) {
  if (!at) return 0;
  int l = depth(at->left), r = depth(at->right);
  return 1 + (l > r ? l : r);
}

int main(void) {
  struct tree *root = NULL;
  for (int i = 0, k = 1; i < 100; i++, k = k * 37 % 101) root = insert(root, k);
  printf("%d %d\n", used, depth(root));
  return 0;
}
