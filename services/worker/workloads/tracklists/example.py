"""Example of an item: a saved page with two tracks, which runs without any setting."""

_PAGE = """<html><head><title>DJ Example @ Demo Festival, Nowhere 2026-05-16</title></head><body>
<h1 id="pageTitle"><a href="/artist/dj-example/tracklists.html">DJ Example</a> @ Demo Festival, Nowhere 2026-05-16</h1>
<div id="tlTab" itemscope itemtype="http://schema.org/MusicPlaylist" data-id="9demo123" data-count="2">
<div id="tlp_501" class="tlpTog bItm tlpItem trRow1" data-trno="0" data-id="501" data-isided="true">
<span id="tlp0_tracknumber_value">01</span><div id="cue_501" class="cue"></div>
<div id="tlp0_content" itemprop="tracks" itemscope itemtype="http://schema.org/MusicRecording">
<meta itemprop="name" content="Alpha - First Light"><span id="tr_t501" class="trackValue">Alpha - First Light</span>
</div></div>
<div id="tlp_502" class="tlpTog bItm tlpItem trRow2" data-trno="1" data-id="502" data-isided="true">
<span id="tlp1_tracknumber_value">02</span><div id="cue_502" class="cue">03:47</div>
<div id="tlp1_content" itemprop="tracks" itemscope itemtype="http://schema.org/MusicRecording">
<meta itemprop="name" content="Beta - Second Wind"><span id="tr_t502" class="trackValue">Beta - Second Wind</span>
</div></div></div></body></html>"""
EXAMPLE = {"html": _PAGE.replace("\n", "")}
