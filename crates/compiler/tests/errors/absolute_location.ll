define i64 @read() !dbg !4 {
  %x = load i64, ptr inttoptr (i64 93824992231424 to ptr), !dbg !5
  ret i64 %x
}
!llvm.module.flags = !{!0}
!llvm.dbg.cu = !{!1}
!0 = !{i32 2, !"Debug Info Version", i32 3}
!1 = distinct !DICompileUnit(language: DW_LANG_C99, file: !2, emissionKind: FullDebug)
!2 = !DIFile(filename: "udf.c", directory: "/")
!3 = !DISubroutineType(types: !{})
!4 = distinct !DISubprogram(name: "read", file: !2, line: 6, type: !3, unit: !1, spFlags: DISPFlagDefinition)
!5 = !DILocation(line: 7, column: 12, scope: !4)
;# ExpectError: absolute_location.ll: `read`: %x = load i64, ptr inttoptr (i64 93824992231424 to ptr), align 8, !dbg !
;# ExpectError: (udf.c:7:12): a number that is an address in one process only
