"""The words of the field, for those who are new to it."""

from __future__ import annotations

GLOSSARY = (
    (
        "page, page frame",
        "Memory is handed out in pieces of 4 KiB. A page is such a piece as a program sees it; a page frame is the "
        "piece of the machine's memory that holds it.",
    ),
    (
        "KSM, ksmd",
        "Kernel samepage merging: the kernel thread ksmd looks for pages of equal content in different programs and "
        "lets them share one page frame, which nobody may then write.",
    ),
    ("merge", "A page joins a shared frame; its own frame becomes free."),
    ("break", "A program writes to a shared page, so it gets a frame of its own again (copy on write)."),
    (
        "frames saved",
        "Pages that the programs have in memory minus the page frames that hold them: what sharing is worth at "
        "that moment.",
    ),
    (
        "swap-out, swap-in",
        "When memory runs short the kernel writes pages to a swap device and takes their frames; a page that is "
        "touched again is read back.",
    ),
    (
        "swap-in copy",
        "A shared page that was swapped out comes back. Where the kernel cannot tell that sharing is still safe, it "
        "copies the page for whoever asks: the saving is gone until ksmd finds the copies again.",
    ),
    (
        "swap-in policy",
        "What is done at that moment. kernel: what the kernel does. copy: always copy. remerge: map a shared page of "
        "equal content, if there is one. defer: copy, and let ksmd look at the copy first.",
    ),
    ("fault, major fault", "A program touches a page that is not mapped; major if it must wait for the swap device."),
    ("stall", "Time the programs spend waiting in faults."),
    (
        "simulated time",
        "The clock of the simulated machine. Every access, fault, copy, comparison and swap transfer has a cost in "
        "nanoseconds; the computer that ran the simulation has no influence on it.",
    ),
)
