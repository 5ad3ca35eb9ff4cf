# How a manifest grows with its files. The samples are those of tests/measure_manifests.c:
#
#     gnuplot -e "csv='manifests.csv'" docs/benchmarks/manifests.gnuplot >docs/benchmarks/manifests.svg
set datafile separator ','
set terminal svg size 820,460 dynamic font 'Helvetica,Arial,sans-serif,13' background rgb 'white'
set border 11 linecolor rgb '#777777'
set tics nomirror textcolor rgb '#444444'
set grid ytics linecolor rgb '#dddddd' linetype 1 linewidth 0.6
set key outside right center Left reverse samplen 2 spacing 1.4 textcolor rgb '#333333'
set title 'A manifest, by its files' textcolor rgb '#222222' font ',15'
set style line 1 linecolor rgb '#0072b2' pointtype 7 pointsize 0.6 linewidth 2
set style line 2 linecolor rgb '#009e73' pointtype 9 pointsize 0.7 linewidth 2
set style line 3 linecolor rgb '#d55e00' pointtype 13 pointsize 0.8 linewidth 2
set style line 4 linecolor rgb '#999999' pointtype 6 pointsize 0.6 linewidth 2
set logscale xy
set logscale y2
set format x '10^{%T}'
set format y '%g'
set format y2 '%g'
set y2tics
set xlabel 'files'
set ylabel 'ms'
set y2label 'MB'
plot csv skip 1 using 1:5 with linespoints linestyle 1 title 'commit, ms', \
  csv skip 1 using 1:7 with linespoints linestyle 2 title 'read back, ms', \
  csv skip 1 using 1:($8*1.048576) axes x1y2 with linespoints linestyle 3 title 'memory to read, MB', \
  csv skip 1 using 1:($2/1e6) axes x1y2 with linespoints linestyle 4 title 'size, MB'
