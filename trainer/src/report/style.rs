//! How the page looks: on a phone and on a desk, light and dark, without anything from a network.

/// The page's style sheet.
pub const CSS: &str = "
:root{color-scheme:light dark;--page:#fafaf8;--card:#fff;--ink:#1d2126;--soft:#5b6470;--line:#d9dce0;--link:#0b5cad;--right:38 120 214;--wrong:226 88 10}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1c2024;--ink:#e4e7ea;--soft:#9aa3ad;--line:#363c43;--link:#7db7f5;--right:72 146 235;--wrong:232 104 32}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;margin:0;background:var(--page);color:var(--ink)}
main{max-width:76rem;margin:auto;padding:1.5rem}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.3rem;margin:0 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .5rem}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
p{margin:.5rem 0}small,.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.25rem;margin:1.25rem 0}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
caption{caption-side:bottom;text-align:left;color:var(--soft);font-size:.85rem;padding-top:.4rem}
th,td{padding:.28rem .6rem;text-align:right;white-space:nowrap}
th{font-weight:600}tbody th{text-align:left;font-weight:500}thead th{color:var(--soft);font-size:.85rem;vertical-align:bottom}
thead th:first-child{text-align:left}thead tr:last-child>*{border-bottom:1px solid var(--line)}
tbody tr+tr>*{border-top:1px solid var(--line)}.means>*>*{border-top:1px solid var(--line);color:var(--soft)}
.summary{width:100%}.summary th,.summary td{padding:.3rem .45rem}
.summary tbody th,.summary thead tr:first-child th:first-child{position:sticky;left:0;background:var(--card);padding-left:0}
.summary small{display:block;font-weight:400;font-size:.75rem;max-width:10.5rem;overflow:hidden;text-overflow:ellipsis}
.summary thead th[colspan]{text-align:center}.summary thead th[rowspan]{border-bottom:1px solid var(--line)}
.summary thead tr:last-child th{text-align:right}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem 1.5rem}
.small{max-width:46rem}
figure{margin:0}figure>figcaption{font-weight:600;font-size:.9rem}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.9rem}.legend i{display:inline-block;width:.9rem;height:.25rem;border-radius:2px;margin-right:.4rem;vertical-align:middle}
.pair{display:flex;flex-wrap:wrap;gap:1.5rem 2.5rem;align-items:flex-start}
.heat th,.heat td{padding:.22rem .3rem}.heat tbody td{min-width:2.1rem;height:1.9rem;text-align:center;border:1px solid var(--line)}
.heat tbody th{position:sticky;left:0;background:var(--card)}
.heat thead th{height:6.2rem;border:0;text-align:left;vertical-align:bottom}.heat thead td{border:0}
.heat thead span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:9rem;overflow:hidden;text-overflow:ellipsis}
.heat .right{background:rgb(var(--right)/var(--shade))}.heat .wrong{background:rgb(var(--wrong)/var(--shade))}.heat .dark{color:#fff}
details{margin:1rem 0}summary{cursor:pointer;font-weight:600}details>*{margin-top:.75rem}
.mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.25rem,1fr));gap:.9rem .6rem}
.mistakes div{height:112px;display:flex;align-items:center;justify-content:center}
.mistakes img{display:block;max-width:112px;max-height:112px;border-radius:4px}
.mistakes figcaption{font-weight:400;font-size:.8rem;line-height:1.35;text-align:center;overflow-wrap:anywhere;padding-top:.25rem}
.none{color:var(--soft);font-size:.8rem;border:1px dashed var(--line);border-radius:4px;padding:2.4rem .9rem}
@media(max-width:40rem){main{padding:.75rem}section{padding:.9rem;margin:.9rem 0}th,td{padding:.25rem .28rem}table{font-size:.82rem}thead th{font-size:.76rem}
.summary small{max-width:7rem}.heat th,.heat td{padding:.2rem .15rem}.heat tbody td{min-width:1.5rem}
.mistakes{grid-template-columns:repeat(auto-fill,minmax(6.2rem,1fr))}.mistakes img{max-width:100%}}
";
