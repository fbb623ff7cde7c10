# a background job of a shell: usable
!sleep 30 &
