int classify(int v) {
  switch (v % 8) {
    case 0: return 10; case 1: return -3; case 2: return 7; case 3: return 2;
    case 4: return v; case 5: return v * v; case 6: return v - 1; default: break;
  }
  return v > 40 ? 1 : 0;
}
