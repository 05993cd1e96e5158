// The n-body simulation of the benchmarks game.
#include <math.h>
#include <stdio.h>

struct body { double x[3], v[3], mass; };
#define SOLAR (4 * 3.141592653589793 * 3.141592653589793)
#define YEAR 365.24
static struct body bodies[] = {
    {{0}, {0}, SOLAR},
    {{4.84143144246472090, -1.16032004402742839, -0.103622044471123109}, {0.00166007664274403694 * YEAR, 0.00769901118419740425 * YEAR, -0.0000690460016972063023 * YEAR}, 0.000954791938424326609 * SOLAR},
    {{8.34336671824457987, 4.12479856412430479, -0.403523417114321381}, {-0.00276742510726411 * YEAR, 0.00499852801234917238 * YEAR, 0.0000230417297573763929 * YEAR}, 0.000285885980666130812 * SOLAR},
    {{12.8943695621391310, -15.1111514016986312, -0.223307578892655734}, {0.00296460137564761618 * YEAR, 0.00237847173959480950 * YEAR, -0.0000296589568540237556 * YEAR}, 0.0000436624404335156298 * SOLAR}};
enum { n = sizeof bodies / sizeof *bodies };
static double energy(void) {
  double e = 0;
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < 3; k++) e += 0.5 * bodies[i].mass * bodies[i].v[k] * bodies[i].v[k];
    for (int j = i + 1; j < n; j++) {
      double d2 = 0;
      for (int k = 0; k < 3; k++) d2 += (bodies[i].x[k] - bodies[j].x[k]) * (bodies[i].x[k] - bodies[j].x[k]);
      e -= bodies[i].mass * bodies[j].mass / sqrt(d2);
    }
  }
  return e;
}
static void advance(double dt) {
  for (int i = 0; i < n; i++)
    for (int j = i + 1; j < n; j++) {
      double d[3], d2 = 0;
      for (int k = 0; k < 3; k++) d[k] = bodies[i].x[k] - bodies[j].x[k], d2 += d[k] * d[k];
      double magnitude = dt / (d2 * sqrt(d2));
      for (int k = 0; k < 3; k++) bodies[i].v[k] -= d[k] * bodies[j].mass * magnitude, bodies[j].v[k] += d[k] * bodies[i].mass * magnitude;
    }
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

int main(void) {
  printf("%.9f\n", energy());
  for (int i = 0; i < 100000; i++) advance(0.01);
  printf("%.9f\n", energy());
  return 0;
}
