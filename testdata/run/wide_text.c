// Wide characters and locales: conversion, classification, wide stdio, wide literals.
#define _XOPEN_SOURCE 700
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uchar.h>
#include <wchar.h>
#include <wctype.h>

int main(void) {
  fprintf(stderr, "%s\n", setlocale(LC_ALL, NULL));
  fprintf(stderr, "%s\n", setlocale(LC_ALL, "C.UTF-8"));
  wchar_t wide[32];
  size_t n = mbstowcs(wide, "naïve ✓ text", 32);
  wprintf(L"%zu %ls %lc\n", n, wide, wide[2]);
  for (size_t i = 0; i < n; i++) wide[i] = (wchar_t)towupper((wint_t)wide[i]);
  wprintf(L"%ls %d\n", wide, iswalpha(L'ï') != 0);
  char narrow[64];
  wcstombs(narrow, wide, sizeof narrow);
  wprintf(L"%s %zu\n", narrow, strlen(narrow));
  wprintf(L"%ls %d %zu\n", wcsstr(wide, L"TEXT"), wcscmp(L"a", L"b") < 0, wcslen(L"four"));
  wprintf(L"%ld %.2f\n", wcstol(L"123", NULL, 10), wcstod(L"2.75", NULL));
  const char16_t *utf16 = u"𝄞x";
  const char32_t *utf32 = U"𝄞x";
  wprintf(L"%x %x %x\n", utf16[0], utf16[1], utf32[0]);
  mbstate_t state = {0};
  char16_t unit;
  size_t used = mbrtoc16(&unit, "é", 2, &state);
  wprintf(L"%zu %x %d\n", used, unit, wcwidth(L'✓'));
  wchar_t line[32];
  swprintf(line, 32, L"%05d|%-6ls|", 42, L"ab");
  fputws(line, stdout);
  putwchar(L'\n');
  struct lconv *conventions = localeconv();
  wprintf(L"<%s>\n", conventions->decimal_point);
  return 0;
}
