; A loop that vectorizes, as clang writes it for the baseline.
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"

define i32 @sum(ptr %numbers, i64 %count) #0 {
entry:
  %empty = icmp eq i64 %count, 0
  br i1 %empty, label %exit, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi i32 [ 0, %entry ], [ %added, %loop ]
  %place = getelementptr inbounds i32, ptr %numbers, i64 %i
  %number = load i32, ptr %place, align 4
  %added = add i32 %sum, %number
  %next = add nuw i64 %i, 1
  %last = icmp eq i64 %next, %count
  br i1 %last, label %exit, label %loop
exit:
  %result = phi i32 [ 0, %entry ], [ %added, %loop ]
  ret i32 %result
}

attributes #0 = { "target-cpu"="x86-64" "target-features"="+cmov,+cx8,+fxsr,+mmx,+sse,+sse2,+x87" "tune-cpu"="generic" }
