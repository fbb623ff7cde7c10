# endless output of a subprocess, then Stop pressed: usable
# interrupt: 2
!yes
