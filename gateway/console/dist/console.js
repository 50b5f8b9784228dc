var y,xn,je,lt,He,fe,Sn,ue,Nn,Be,Ie,Za,It=Symbol.for("pv"),pe={},de=[],Xa=/^m(i|n|o|s|text|space)$/,We=Array.isArray,ze=de.slice,gt=Object.assign;function vt(t){t&&t.parentNode&&t.remove()}function he(t,e,n){var a,s,o,r={},i=arguments.length;for(o in e)o=="key"?a=e[o]:o=="ref"&&typeof t!="function"?s=e[o]:r[o]=e[o];return i>2&&(r.children=i>3?ze.call(arguments,2):n),Ht(t,r,a,s,null)}function Ht(t,e,n,a,s){var o={type:t,props:e,key:n,ref:a,__k:null,__:null,__b:0,__e:null,__c:null,constructor:It,__v:s||++xn,__i:-1,__u:0};return!s&&y.vnode&&y.vnode(o),o}function yt(t){return t.children}function Dt(t,e){this.props=t,this.context=e,this.__g=0}function ut(t,e){if(e==null)return t.__&&ut(t.__,t.__i+1);for(var n;e<t.__k.length;e++)if((n=t.__k[e])&&n.__e)return n.__e;return typeof t.type!="function"||t.props.__P?null:ut(t)}function Ya(t){var e,n=t.__v,a=n.__e,s=[],o=[],r=t.__P;r&&((e=gt({constructor:It},n)).__v=n.__v+1,y.vnode&&y.vnode(e),Ve(r,e,n,t.__n,r.namespaceURI,32&n.__u?[a]:null,s,a||ut(n),32&n.__u,o),e.__v=n.__v,e.__.__k[e.__i]=e,Mn(s,e,o),n.__=n.__e=null,e.__e!=a&&Cn(e))}function Cn(t){if((t=t.__)&&t.__c&&!t.props.__P)return t.__e=null,t.__k.some(function(e){return e&&(t.__e=e.__e)}),Cn(t)}function bn(t){(8&t.__g||(t.__g|=8,lt.push(t),fe++))&&He==y.debounceRendering||((He=y.debounceRendering)||queueMicrotask)(Tn)}function Tn(){try{for(var t,e=1;lt.length;)lt.length>e&&lt.sort(Sn),t=lt.shift(),e=lt.length,8&t.__g&&Ya(t)}finally{(fe=lt.length)&&(He||queueMicrotask)(Tn)}}function En(t,e,n,a,s,o,r,i,u,p,l){var _,h,c,v,D,$,k=a.__k||de,g=e.length;for(u=to(n,e,k,u,g),_=0;_<g;_++)(c=n.__k[_])!=null&&(h=~c.__i&&k[c.__i]||pe,c.__i=_,$=Ve(t,c,h,s,o,r,i,u,p,l),v=c.__e,(h.ref!=c.ref||8&h.__u)&&(h.ref&&Ge(h.ref,null,c,h),c.ref&&l.push(c.ref,c.__c||v,c)),D=D||v,4&c.__u?(u=Dn(c,u,t,!h.__v),h.__e&&(h.__e=null)):typeof c.type=="function"&&$!==void 0?u=$:v&&(u=v.nextSibling),c.__u&=-21);return n.__e=D,u}function to(t,e,n,a,s){var o,r,i,u,p,l,_,h,c,v=n.length,D=v,$=0,k=0,g=t.__k=Array(s);for(o=0;o<s;o++)(r=e[o])!=null&&typeof r!="boolean"&&typeof r!="function"?(typeof r!="object"||r.constructor===String?r=g[o]=Ht(null,r):We(r)?r=g[o]=Ht(yt,{children:r}):r.constructor===It&&r.__b?r=g[o]=Ht(r.type,r.props,r.key,r.ref,r.__v):g[o]=r,u=o+$,r.__=t,r.__b=t.__b+1,i=null,~(p=r.__i=eo(r,n,u,D))&&(D--,(i=n[p])&&(i.__u|=2)),i&&i.__v?(r.__u|=16,p==u-1?$--:p==u+1?$++:p!=u&&(p>u?$--:$++,k=1)):(~p||(s>v?$--:s<v&&$++),typeof r.type!="function"&&(r.__u|=4))):g[o]=null;if(k){for(l=[],_=[],o=0;o<s;o++)if((r=g[o])&&16&r.__u){for($=0,h=l.length;$<h;)l[c=$+h>>1]<r.__i?$=c+1:h=c;l[$]=r.__i,_[o]=$+1}for($=l.length;o--;)_[o]&&(_[o]==$?$--:g[o].__u|=4)}if(D)for(o=0;o<v;o++)!(i=n[o])||2&i.__u||(i.__e==a&&(a=ut(i)),Je(i,i));return a}function Dn(t,e,n,a){var s,o,r,i;if(typeof t.type=="function"){if(t.props.__P)return e;if(s=t.__k)for(o=0;o<s.length;o++)s[o]&&(s[o].__=t,e=Dn(s[o],e,n,!1));return e}for(e&&!e.parentNode&&(e=ut(t))&&!e.parentNode&&(e=null),r=t.__e,i=e;i&&i.nodeType==8;)i=i.nextSibling;for(r!=i&&(!a&&n.moveBefore&&r.parentNode?n.moveBefore(r,e):n.insertBefore(r,e||null)),e=r;(e=e&&e.nextSibling)&&e.nodeType==8&&!e.data.startsWith("$s"););return e}function eo(t,e,n,a){var s,o=t.key,r=t.type,i=e[n],u=i&&!(2&i.__u);if(i===null&&o==null||u&&o==i.key&&r==i.type)return n;if(a>(u?1:0)){for(s=n-1;s>=0;s--)if((i=e[s])&&!(2&i.__u)&&o==i.key&&r==i.type)return s;for(s=n+1;s<e.length;s++)if((i=e[s])&&!(2&i.__u)&&o==i.key&&r==i.type)return s}return-1}function kn(t,e,n){n==null&&(n=""),e[0]=="-"?t.setProperty(e,n):t[e]=n}function le(t,e,n,a,s){var o,r;if(e=="style")if(typeof n=="string")t.style.cssText=n;else{if(typeof a=="string"&&(t.style.cssText=a=""),a)for(e in a)n&&e in n||kn(t.style,e);if(n)for(e in n)a&&n[e]==a[e]||kn(t.style,e,n[e])}else if(e[0]=="o"&&e[1]=="n")typeof n!="function"&&(n=null),typeof a!="function"&&(a=null),(t.__e||(t.__e={}))[e]=n,n&&a||(r=Ie[e]||(Ie[e]=no(e)),(t.__a||(t.__a={}))[e]=Be,o=e!=(e=e.replace(Nn,"$1")),(e=e.slice(2))[0]<"a"&&(e=e.toLowerCase()),n?t.addEventListener(e,r,o):t.removeEventListener(e,r,o));else{if(s=="http://www.w3.org/2000/svg")e=e.replace(/xlink(H|:h)/,"h").replace(/sName$/,"s");else if(e!="width"&&e!="height"&&e!="href"&&e!="list"&&e!="form"&&e!="tabIndex"&&e!="download"&&e!="rowSpan"&&e!="colSpan"&&e!="role"&&e!="popover"&&e in t)try{return void(t[e]=n??"")}catch{}if(typeof n=="function")return;n==null||n===!1&&e[4]!="-"?t.removeAttribute(e):t.setAttribute(e,e=="popover"&&n==1?"":n)}}function no(t){return function(e){var n=this.__e;if(n){if(n=n[t],e[ue]==null)e[ue]=Be++;else if(e[ue]<this.__a[t])return;return n(y.event?y.event(e):e)}}}function Ve(t,e,n,a,s,o,r,i,u,p){var l,_,h,c,v,D,$,k,g,O,x,Fe,$n,ie,_t,wn,it,mt,et=e.type;if(e.constructor!==It)return null;128&n.__u&&(u=32&n.__u,l=n.__c.__z)&&(e.__u|=u,_=o=[],l.nodeType==8?i=ce(l,o):o.push(l),i=o[0]||i),(l=y.__b)&&l(e);t:if(typeof et=="function"){h=r.length;try{if(k=e.props,g=(l=et.prototype)&&l.render,O=(l=et.contextType)&&a[l.__c],x=l?O?O.props.value:l.__:a,(c=n.__c)?(e.__c=c,2&c.__g&&(c.__g|=1)):(g?e.__c=c=new et(k,x):(e.__c=c=new Dt(k,x),c.constructor=et,c.render=oo),O&&O.sub(c),c.state||(c.state={}),c.__n=a,c.__g|=8,c.__h=[],c.__k=[]),g&&(c.__s||(c.__s=c.state),et.getDerivedStateFromProps&&(c.__s==c.state&&(c.__s=gt({},c.__s)),gt(c.__s,et.getDerivedStateFromProps(k,c.__s)))),v=c.props,D=c.state,c.__v=e,n.__c){if(k!==v&&g&&!et.getDerivedStateFromProps&&c.componentWillReceiveProps&&c.componentWillReceiveProps(k,x),e.__v==n.__v&&!(8&c.__g)||!(4&c.__g)&&c.shouldComponentUpdate&&c.shouldComponentUpdate(k,c.__s,x)===!1){e.__v!=n.__v&&(c.props=k,c.state=c.__s,c.__g&=-9),e.__e=n.__e,e.__k=n.__k,e.__k.some(function(I){I&&(I.__=e)}),de.push.apply(c.__h,c.__k),c.__k=[],c.__h.length&&r.push(c),i=ut(n);break t}c.componentWillUpdate&&c.componentWillUpdate(k,c.__s,x),g&&c.componentDidUpdate&&c.__h.push(function(){c.componentDidUpdate(v,D,$)})}else g&&!et.getDerivedStateFromProps&&c.componentWillMount&&c.componentWillMount(),g&&c.componentDidMount&&c.__h.push(c.componentDidMount);c.context=x,c.props=k,c.__P=t,c.__g&=-5,Fe=y.__r,$n=g?25:0;do c.__g&=-9,Fe&&Fe(e),l=c.render(c.props,c.state=c.__s,c.context);while(8&c.__g&&++$n<25);g&&(de.push.apply(c.__h,c.__k),c.__k=[]),c.state=c.__s,c.getChildContext&&(a=gt({},a,c.getChildContext())),g&&n.__c&&c.getSnapshotBeforeUpdate&&($=c.getSnapshotBeforeUpdate(v,D)),ie=l&&l.type===yt&&l.key==null?l.props.children:l,k.__P&&(l=i,s=(t=k.__P).namespaceURI,u=o=null,n.props&&n.props.__P!=t&&(n.__k.some(function(I){I&&Je(I,I)}),n.__k=null),i=n.__k?ut(n,0):null),i=En(t,We(ie)?ie:[ie],e,n,a,s,o,r,i,u,p),k.__P&&(e.__e=null,i=l),e.__u&=-161,_&&_.some(vt),c.__h.length&&r.push(c),1&c.__g&&(c.__g&=-4)}catch(I){if(r.length=h,e.__v=null,u||o)if(I&&I.then){if(e.__u|=128|u,o){for(~(it=o.indexOf(i||void 0))||(it=o.length);(mt=o[it-1])&&mt.nodeType==8;)it--;for(;it<o.length;it++)if(mt=o[it])if(o[it]=null,_t){if(mt==wn)break}else{if(mt.nodeType!=8)break;mt.data.startsWith("$s")&&(wn=ce(_t=mt))}}if(!_t){for(;i&&i.nodeType==8&&i.nextSibling;)i=i.nextSibling;_t=i}(l=ce(_t=e.__c.__z||(e.__c.__z=_t)))?(e.__e=_t,i=l):e.__e=i,i=i&&i.nextSibling}else o&&o.some(vt);else e.__e=n.__e;e.__k||(e.__k=n.__k||[]),I&&I.then||On(e),y.__e(I,e,n)}}else i=e.__e=ao(n.__e,e,n,a,s,o,r,u,p,t);return(l=y.diffed)&&l(e),i}function ce(t,e){if(t&&t.nodeType==8&&t.data.startsWith("$s"))for(var n=1;t=t.nextSibling;){if(t.nodeType==8){if(t.data.startsWith("$s"))n++;else if(t.data.startsWith("/$s")&&!--n)return t}e&&e.push(t)}}function On(t){t&&(t.__c&&(t.__c.__g|=4),t.__k&&t.__k.some(On))}function Mn(t,e,n){for(var a=0;a<n.length;)Ge(n[a++],n[a++],n[a++]);y.__c&&y.__c(e,t),t.some(function(s){try{t=s.__h,s.__h=[],t.some(function(o){o.call(s)})}catch(o){y.__e(o,s.__v)}})}function ao(t,e,n,a,s,o,r,i,u,p){var l,_,h,c,v,D,$,k,g=n.props||pe,O=e.props,x=e.type;if(x=="svg"?s="http://www.w3.org/2000/svg":x=="math"?s="http://www.w3.org/1998/Math/MathML":s||(s="http://www.w3.org/1999/xhtml"),o){for(l=0;l<o.length;l++)if((v=o[l])&&(x?v.localName==x:v.nodeType==3)){t=v,o[l]=null;break}}if(!t){if(k=p.ownerDocument||document,!x)return k.createTextNode(O);t=k.createElementNS(s,x,O.is?O:p),i&&(y.__m&&y.__m(e,o),i=!1),o=null}if(x){if(p=x=="template"&&t.content||t,o=x=="textarea"&&O.defaultValue!=null?null:o&&ze.call(p.childNodes),!i&&o)for(g={},l=0;l<t.attributes.length;l++)g[(v=t.attributes[l]).name]=v.value;for(l in g)v=g[l],l=="dangerouslySetInnerHTML"?h=v:l=="children"||l in O||l=="value"&&"defaultValue"in O||l=="checked"&&"defaultChecked"in O||le(t,l,null,v,s);for(l in O)v=O[l],l=="children"?c=v:l=="dangerouslySetInnerHTML"?_=v:l=="value"?D=v:l=="checked"?$=v:i&&typeof v!="function"||g[l]===v||le(t,l,v,g[l],s);_?(i||h&&(_.__html==h.__html||_.__html==t.innerHTML)||(t.innerHTML=_.__html),e.__k=[]):(h&&(t.textContent=""),(x=="foreignObject"||s=="http://www.w3.org/1998/Math/MathML"&&Xa.test(x))&&(s="http://www.w3.org/1999/xhtml"),En(p,We(c)?c:[c],e,n,a,s,o,r,o?o[0]:n.__k&&ut(n,0),i,u),o&&o.some(vt)),i&&x!="textarea"||(l="value",x=="progress"&&D==null?t.removeAttribute(l):D==null||D===t[l]&&(x!="progress"||D)||le(t,l,D,g[l],s),l="checked",$!=null&&$!=t[l]&&le(t,l,$,g[l],s))}else g===O||i&&t.data==O||(t.data=O);return t}function Ge(t,e,n,a){try{typeof t=="function"?e?e.__x=t(e)||1:a&&(a=a.__c||a.__e)&&(e=a.__x)&&(a.__x=null,typeof e=="function"?e():t(null)):t.current=e}catch(s){y.__e(s,n)}}function Je(t,e,n){var a,s,o,r;if(y.unmount&&y.unmount(t),!(a=t.ref)||a.current&&a.current!=t.__e||Ge(a,null,e,t),a=t.__c){if(a.componentWillUnmount)try{a.componentWillUnmount()}catch(i){y.__e(i,e)}a.__P=a.__n=null}if(a=t.__k)for(r=0;r<a.length;r++)a[r]&&Je(a[r],e,typeof t.type!="function"||n&&!t.props.__P);!n&&(a=t.__c)&&(a=a.__z)&&(s=ce(a,o=[]))&&(a==t.__e&&o.some(vt),vt(s),vt(a)),n||vt(t.__e),t.__e=t.__c=t.__=null}function oo(t,e,n){return this.constructor(t,n)}function qn(t,e){var n,a,s,o;y.__&&y.__(t,e),e.nodeType==9&&(e=e.documentElement),a=(n=t&&32&t.__u)?null:e.__k,e.__k=Ht(yt,{children:[t]}),s=[],o=[],Ve(e,e.__k,a||pe,pe,e.namespaceURI,a?null:e.firstChild?ze.call(e.childNodes):null,s,a?a.__e:e.firstChild,n,o),Mn(s,e.__k,o),e.__k.props.children=null}y={__e:function(t,e,n,a){for(var s,o,r;e=e.__;)if((s=e.__c)&&!(1&s.__g)){s.__g|=4;try{if((r=(o=s.constructor)&&o.getDerivedStateFromError)&&s.setState(o.getDerivedStateFromError(t)),s.componentDidCatch&&(s.componentDidCatch(t,a||{}),r=1),r&&8&s.__g)return void(s.__g|=2)}catch(i){t=i}}throw fe=0,t}},xn=0,je=function(t){return t!=null&&t.constructor===It},Dt.prototype.setState=function(t,e){var n=this.__s;n&&n!=this.state||(n=this.__s=gt({},this.state)),typeof t=="function"&&(t=t(gt({},n),this.props)),t&&(gt(n,t),this.__v&&(e&&this.__k.push(e),bn(this)))},Dt.prototype.forceUpdate=function(t){this.__v&&(this.__g|=4,t&&this.__h.push(t),bn(this))},Dt.prototype.render=yt,lt=[],fe=0,Sn=function(t,e){return t.__v.__b-e.__v.__b},ue=Symbol(),Nn=/(PointerCapture)$|Capture$/i,Be=0,Ie={},Za=0;var Bt,C,Ke,An,Qe=Object.is,_e=0,Bn=[],Ze=[],S=y,Pn=S.__b,Ln=S.__r,Rn=S.diffed,Un=S.__c,Fn=S.unmount,Hn=S.__;function Ye(t,e){S.__h&&S.__h(C,t,_e||e),_e=0;var n=C.__H||(C.__H={__:[],__h:[]});return t>=n.__.length&&n.__.push({}),n.__[t]}function tn(t){return _e=1,so(zn,t)}function so(t,e,n){var a=Ye(Bt++,2);if(a.t=t,!a.__c&&(a.__=[n?n(e):zn(void 0,e),function(o){var r=(a.__N||a.__)[0],i=a.t(r,o);Qe(r,i)||(a.__N=[i,a.__[1]],a.__c.setState({}))}],a.__c=C,!C.__f)){C.__f=!0;var s=C.shouldComponentUpdate;C.shouldComponentUpdate=function(o,r,i){var u=this.__H;if(!u)return!0;var p=!1,l=this.props!=o;if(u.__.some(function(h){h.__N&&(p=!0,Qe(h.__[0],h.__N[0])||(l=!0))}),s){var _=s.call(this,o,r,i);return p?_||l:_}return!p||l}}return a.__}function $t(t,e){var n=Ye(Bt++,3);!S.__s&&Wn(n.__H,e)&&(n.__P=!0,n.__=t,n.u=e,C.__H.__h.push(n))}function Wt(t){return _e=5,me(function(){return{current:t}},[])}function me(t,e){var n=Ye(Bt++,7);return Wn(n.__H,e)&&(n.__=t(),n.__H=e),n.__}function ro(){var t;do{for(;t=Ze.shift();)try{jt(t)}catch(n){S.__e(n,{__:(t=t.__P)&&t.__v})}for(;t=Bn.shift();){var e=t.__H;if(t.__P&&e)try{e.__h.some(jt),e.__h.some(Xe),e.__h=[]}catch(n){e.__h=[],S.__e(n,t.__v)}}}while(Ze.length)}S.__b=function(t){C=null,Pn&&Pn(t)},S.__=function(t,e){t&&e.__k&&e.__k.__m&&(t.__m=e.__k.__m),Hn&&Hn(t,e)},S.__r=function(t){Ln&&Ln(t),Bt=0;var e=(C=t.__c).__H;e&&(Ke==C?C.__h=[]:(e.__h.some(jt),e.__h.some(Xe),Bt=0),e.__h=[],e.__.some(function(n){n.__N&&(n.__=n.__N),n.u=n.__N=void 0})),Ke=C},S.diffed=function(t){Rn&&Rn(t);var e=t.__c;e&&e.__H&&(e.__H.__h.length&&jn(Bn.push(e)),e.__H.__.some(function(n){n.u&&(n.__H=n.u)})),Ke=C=null},S.__c=function(t,e){e.some(function(n){try{n.__h.some(jt),n.__h=n.__h.filter(function(a){return!a.__||Xe(a)})}catch(a){n.__h=[function(){throw a}]}}),Un&&Un(t,e)},S.unmount=function(t){Fn&&Fn(t);var e,n,a=t.__c;a&&a.__H&&(a.__H.__.some(function(s){try{if(s.__P&&s.__c){if(n===void 0){for(n=t.__;n&&(!n.__c||!n.__c.__P);)n=n.__;n=n&&n.__c}s.__P=n,jn(Ze.push(s))}else jt(s)}catch(o){e=o}}),a.__H=void 0,e&&S.__e(e,a.__v))};var In=typeof requestAnimationFrame=="function";function io(t){var e,n=function(){clearTimeout(a),In&&cancelAnimationFrame(e),setTimeout(t)},a=setTimeout(n,35);In&&(e=requestAnimationFrame(n))}function jn(t){t!=1&&An==S.requestAnimationFrame||((An=S.requestAnimationFrame)||io)(ro)}function jt(t){var e=C,n=t.__c;typeof n=="function"&&(t.__c=void 0,n()),C=e}function Xe(t){var e=C;t.__c=t.__(),C=e}function Wn(t,e){return!t||t.length!=e.length||e.some(function(n,a){return!Qe(n,t[a])})}function zn(t,e){return typeof e=="function"?e(t):e}var lo=Symbol.for("preact-signals");function $e(){if(nt>1)nt--;else{var t,e=!1;for((function(){var s=ge;for(ge=void 0;s!==void 0;){var o=s.S;if(o.v===s.v)for(var r=o.t;r!==void 0;r=r.x)r.i===s.i&&(r.i=o.i);s=s.o}})();Vt!==void 0;){var n=Vt;for(Vt=void 0,ve++;n!==void 0;){var a=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&Gn(n))try{n.c()}catch(s){e||(t=s,e=!0)}n=a}}if(ve=0,nt--,e)throw t}}function V(t){if(nt>0)return t();en=++uo,nt++;try{return t()}finally{$e()}}var zt,b=void 0;function Gt(t){var e=b,n=zt;b=void 0,zt=void 0;try{return t()}finally{b=e,zt=n}}var Vt=void 0,nt=0,ve=0,uo=0,en=0,ge=void 0,ye=0;function Vn(t){if(b!==void 0){var e=t.n;if(e===void 0||e.t!==b)return e={i:0,S:t,p:b.s,n:void 0,t:b,e:void 0,x:void 0,r:e},b.s!==void 0&&(b.s.n=e),b.s=e,t.n=e,32&b.f&&t.S(e),e;if(e.i===-1)return e.i=0,e.n!==void 0&&(e.n.p=e.p,e.p!==void 0&&(e.p.n=e.n),e.p=b.s,e.n=void 0,b.s.n=e,b.s=e),e}}function T(t,e){this.v=t,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=e?.watched,this.Z=e?.unwatched,this.name=e?.name}T.prototype.brand=lo;T.prototype.h=function(){return!0};T.prototype.S=function(t){var e=this,n=this.t;n!==t&&t.e===void 0&&(t.x=n,this.t=t,n!==void 0?n.e=t:Gt(function(){var a;(a=e.W)==null||a.call(e)}))};T.prototype.U=function(t){var e=this;if(this.t!==void 0){var n=t.e,a=t.x;n!==void 0&&(n.x=a,t.e=void 0),a!==void 0&&(a.e=n,t.x=void 0),t===this.t&&(this.t=a,a===void 0&&Gt(function(){var s;(s=e.Z)==null||s.call(e)}))}};T.prototype.subscribe=function(t){var e=this;return L(function(){var n=e.value;Gt(function(){return t(n)})},{name:"sub"})};T.prototype.valueOf=function(){return this.value};T.prototype.toString=function(){return this.value+""};T.prototype.toJSON=function(){return this.value};T.prototype.peek=function(){var t=this;return Gt(function(){return t.value})};Object.defineProperty(T.prototype,"value",{get:function(){var t=Vn(this);return t!==void 0&&(t.i=this.i),this.v},set:function(t){if(t!==this.v){if(ve>100)throw new Error("Cycle detected");(function(n){nt!==0&&ve===0&&n.l!==en&&(n.l=en,ge={S:n,v:n.v,i:n.i,o:ge})})(this),this.v=t,this.i++,ye++,nt++;try{for(var e=this.t;e!==void 0;e=e.x)e.t.N()}finally{$e()}}}});function d(t,e){return new T(t,e)}function Gn(t){for(var e=t.s;e!==void 0;e=e.n)if(e.S.i!==e.i||!e.S.h()||e.S.i!==e.i)return!0;return!1}function Jn(t){for(var e=t.s;e!==void 0;e=e.n){var n=e.S.n;if(n!==void 0&&(e.r=n),e.S.n=e,e.i=-1,e.n===void 0){t.s=e;break}}}function Kn(t){for(var e=t.s,n=void 0;e!==void 0;){var a=e.p;e.i===-1?(e.S.U(e),a!==void 0&&(a.n=e.n),e.n!==void 0&&(e.n.p=a)):n=e,e.S.n=e.r,e.r!==void 0&&(e.r=void 0),e=a}t.s=n}function wt(t,e){T.call(this,void 0,e),this.x=t,this.s=void 0,this.g=ye-1,this.f=4}wt.prototype=new T;wt.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===ye))return!0;if(this.g=ye,this.f|=1,this.i>0&&!Gn(this))return this.f&=-2,!0;var t=b;try{Jn(this),b=this;var e=this.x();(16&this.f||this.v!==e||this.i===0)&&(this.v=e,this.f&=-17,this.i++)}catch(n){this.v=n,this.f|=16,this.i++}return b=t,Kn(this),this.f&=-2,!0};wt.prototype.S=function(t){if(this.t===void 0){this.f|=36;for(var e=this.s;e!==void 0;e=e.n)e.S.S(e)}T.prototype.S.call(this,t)};wt.prototype.U=function(t){if(this.t!==void 0&&(T.prototype.U.call(this,t),this.t===void 0)){this.f&=-33;for(var e=this.s;e!==void 0;e=e.n)e.S.U(e)}};wt.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var t=this.t;t!==void 0;t=t.x)t.t.N()}};Object.defineProperty(wt.prototype,"value",{get:function(){if(1&this.f)throw new Error("Cycle detected");var t=Vn(this);if(this.h(),t!==void 0&&(t.i=this.i),16&this.f)throw this.v;return this.v}});function we(t,e){return new wt(t,e)}function Qn(t){var e=t.j;if(t.j=void 0,typeof e=="function"){nt++;var n=b;b=void 0;try{e()}catch(a){throw t.f&=-2,t.f|=8,nn(t),a}finally{b=n,$e()}}}function nn(t){for(var e=t.s;e!==void 0;e=e.n)e.S.U(e);t.x=void 0,t.s=void 0,Qn(t)}function co(t){if(b!==this)throw new Error("Out-of-order effect");Kn(this),b=t,this.f&=-2;try{8&this.f&&nn(this)}finally{$e()}}function Ot(t,e){this.x=t,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=e?.name,zt&&zt.push(this)}Ot.prototype.c=function(){var t=this.S();try{if(8&this.f||this.x===void 0)return;var e=this.x();typeof e=="function"&&(this.j=e)}finally{t()}};Ot.prototype.S=function(){if(1&this.f)throw new Error("Cycle detected");this.f|=1,this.f&=-9,Qn(this),Jn(this),nt++;var t=b;return b=this,co.bind(this,t)};Ot.prototype.N=function(){2&this.f||(this.f|=2,this.u=Vt,Vt=this)};Ot.prototype.d=function(){this.f|=8,1&this.f||nn(this)};Ot.prototype.dispose=function(){this.d()};function L(t,e){var n=new Ot(t,e);try{n.c()}catch(s){throw n.d(),s}var a=n.d.bind(n);return a[Symbol.dispose]=a,a}var Zn,ke,be,fo=typeof window<"u"&&!!window.__PREACT_SIGNALS_DEVTOOLS__;var Xn=[];L(function(){Zn=this.N})();function Mt(t,e){y[t]=e.bind(null,y[t]||function(){})}function Jt(t){if(be){var e=be;be=void 0,e()}be=t&&t.S()}function Yn(t){var e=this,n=t.data,a=ho(n);a.name="ReactiveDom",a.value=n;var s=me(function(){for(var i=e,u=e.__v;u=u.__;)if(u.__c){u.__c.__$f|=4;break}var p=we(function(){var c=a.value.value;return c===0?0:c===!0?"":c||""}),l=we(function(){return!Array.isArray(p.value)&&!je(p.value)}),_=L(function(){if(this.N=ta,l.value){var c=p.value;i.__v&&i.__v.__e&&i.__v.__e.nodeType===3&&(i.__v.__e.data=c)}}),h=e.__$u.d;return e.__$u.d=function(){_(),h.call(this)},[l,p]},[]),o=s[0],r=s[1];return o.value?r.peek():r.value}Yn.displayName="ReactiveTextNode";Object.defineProperties(T.prototype,{constructor:{configurable:!0,value:he(yt,null).constructor},type:{configurable:!0,value:Yn},props:{configurable:!0,get:function(){var t=this;return{data:{get value(){return t.value}}}}},__b:{configurable:!0,value:1}});Mt("__b",function(t,e){if(Jt(),ke=void 0,typeof e.type=="string"){var n,a=e.props;for(var s in a)if(s!=="children"){var o=a[s];o instanceof T&&(n||(e.__np=n={}),n[s]=o,a[s]=o.peek())}}t(e)});Mt("__r",function(t,e){if(t(e),e.type!==yt){Jt();var n,a=e.__c;a&&(a.__$f&=-2,(n=a.__$u)===void 0&&(a.__$u=n=(function(s,o){var r;return L(function(){r=this},{name:o}),r.c=s,r})((function(s){return function(){var o;fo&&((o=this.y)==null||o.call(this)),s.__$f|=1,s.setState({})}})(a),typeof e.type=="function"?e.type.displayName||e.type.name:""))),ke=a,Jt(n)}});Mt("__e",function(t,e,n,a){Jt(),ke=void 0,t(e,n,a)});Mt("diffed",function(t,e){Jt(),ke=void 0;var n;if(typeof e.type=="string"&&(n=e.__e)){var a=e.__np,s=e.props,o=n.U;if(o)for(var r in o){var i=o[r];i===void 0||a&&r in a||(i.d(),o[r]=void 0)}if(a){o||(o={},n.U=o);for(var u in a){var p=o[u],l=a[u];p===void 0?(p=po(n,u,l,s),o[u]=p):p.o(l,s)}}}t(e)});function po(t,e,n,a){var s=e in t&&t.ownerSVGElement===void 0,o=d(n);return{o:function(r,i){o.value=r,a=i},d:L(function(){this.N=ta;var r=o.value.value;a[e]!==r&&(a[e]=r,s?t[e]=r:r!=null&&(r!==!1||e[4]==="-")?t.setAttribute(e,r):t.removeAttribute(e))})}}Mt("unmount",function(t,e){if(typeof e.type=="string"){var n=e.__e;if(n){var a=n.U;if(a){n.U=void 0;for(var s in a){var o=a[s];o&&o.d()}}}var r=e.__np;if(r){var i=e.props;for(var u in r)i[u]=r[u]}e.__np=void 0}else{var p=e.__c;if(p){p.__$f|=8;var l=p.__$u;l&&(p.__$u=void 0,l.d())}}t(e)});Mt("__h",function(t,e,n,a){a<3&&(e.__$f|=2),t(e,n,a)});Dt.prototype.shouldComponentUpdate=function(t,e){if(this.__R)return!0;var n=this.__$u,a=n&&n.s!==void 0;for(var s in e)return!0;if(this.__f||typeof this.u=="boolean"&&this.u===!0){var o=2&this.__$f;if(!(a||o||4&this.__$f)||1&this.__$f)return!0}else if(!(a||4&this.__$f)||3&this.__$f)return!0;for(var r in t)if(r!=="__source"&&t[r]!==this.props[r])return!0;for(var i in this.props)if(!(i in t))return!0;return!1};function ho(t,e){return me(function(){return d(t,e)},[])}var _o=function(t){queueMicrotask(function(){queueMicrotask(t)})};function mo(){V(function(){for(var t;t=Xn.shift();)Zn.call(t)})}function ta(){Xn.push(this)===1&&(y.requestAnimationFrame||_o)(mo)}var ct=class extends Error{constructor(e,n){super(e.detail||e.title||`The gateway answered ${n}.`),this.status=e.status??n,this.violations=e.violations??[],this.reason=e.reason??"",this.metadata=e.metadata??{},this.requestId=e.request_id??""}},an=()=>new ct({detail:"The gateway does not answer. Is it running?"},0);async function vo(t){let e=await t.text().catch(()=>"");try{return new ct(JSON.parse(e),t.status)}catch{return new ct({},t.status)}}async function ea(t,e){let n;try{n=await fetch(t,{credentials:"same-origin",...e})}catch(a){throw a.name==="AbortError"?a:an()}if(!n.ok)throw await vo(n);return n}function A(t,e={}){let n=Object.entries(e).filter(([,s])=>s!==""&&s!==void 0),a=new URLSearchParams(n).toString();return a?`${t}?${a}`:t}async function N(t,{method:e="GET",body:n,signal:a}={}){let s={accept:"application/json"};return n!==void 0&&(s["content-type"]="application/json"),(await ea(t,{method:e,headers:s,signal:a,body:n===void 0?void 0:JSON.stringify(n)})).json()}function go(){let t=new TextDecoder,e="";return n=>{let a=(e+t.decode(n,{stream:!0})).split(`
`);return e=a.pop(),a.filter(s=>s.trim()!=="")}}async function Kt(t,e,n){let s=(await ea(t,{headers:{accept:"application/x-ndjson"},signal:n})).body.getReader(),o=go();try{for(;;){let{done:r,value:i}=await s.read();if(r)return;let u=o(i).map(_=>JSON.parse(_)),p=u.find(_=>_.error&&Object.keys(_).length===1),l=p?u.slice(0,u.indexOf(p)):u;if(l.length&&e(l),p)throw new ct(p.error,p.error.status)}}catch(r){throw r.name==="AbortError"||r instanceof ct?r:an()}finally{s.releaseLock()}}function na(t,e,n){let a=new XMLHttpRequest,s=new Promise((o,r)=>{a.upload.onprogress=i=>n(i.loaded),a.onload=()=>{let i={};try{i=JSON.parse(a.responseText)}catch{}a.status>=200&&a.status<300?o(i):r(new ct(i,a.status))},a.onerror=()=>r(an()),a.onabort=()=>r(new DOMException("cancelled","AbortError"))});return a.open("POST",t),a.setRequestHeader("content-type","application/octet-stream"),a.send(e),{answer:s,cancel:()=>a.abort()}}var oa=function(t,e,n,a){var s;e[0]=0;for(var o=1;o<e.length;o++){var r=e[o++],i=e[o]?(e[0]|=r?1:2,n[e[o++]]):e[++o];r===3?a[0]=i:r===4?a[1]=Object.assign(a[1]||{},i):r===5?(a[1]=a[1]||{})[e[++o]]=i:r===6?a[1][e[++o]]+=i+"":r?(s=t.apply(i,oa(t,i,n,["",null])),a.push(s),i[0]?e[0]|=2:(e[o-2]=0,e[o]=s)):a.push(i)}return a},aa=new Map;function sa(t){var e=aa.get(this);return e||(e=new Map,aa.set(this,e)),(e=oa(this,e.get(t)||(e.set(t,e=(function(n){for(var a,s,o=1,r="",i="",u=[0],p=function(h){o===1&&(h||(r=r.replace(/^\s*\n\s*|\s*\n\s*$/g,"")))?u.push(0,h,r):o===3&&(h||r)?(u.push(3,h,r),o=2):o===2&&r==="..."&&h?u.push(4,h,0):o===2&&r&&!h?u.push(5,0,!0,r):o>=5&&((r||!h&&o===5)&&(u.push(o,0,r,s),o=6),h&&(u.push(o,h,0,s),o=6)),r=""},l=0;l<n.length;l++){l&&(o===1&&p(),p(l));for(var _=0;_<n[l].length;_++)a=n[l][_],o===1?a==="<"?(p(),u=[u],o=3):r+=a:o===4?r==="--"&&a===">"?(o=1,r=""):r=a+r[0]:i?a===i?i="":r+=a:a==='"'||a==="'"?i=a:a===">"?(p(),o=1):o&&(a==="="?(o=5,s=r,r=""):a==="/"&&(o<5||n[l][_+1]===">")?(p(),o===3&&(u=u[0]),o=u,(u=u[0]).push(2,0,o),o=0):a===" "||a==="	"||a===`
`||a==="\r"?(p(),o=2):r+=a),o===3&&r==="!--"&&(o=4,u=u[0])}return p(),u})(t)),e),arguments,[])).length>1?e:e[0]}var f=sa.bind(he);var qt=["trace","debug","info","notice","warn","error","critical","fatal"],bt={newest:"timestamp desc",oldest:"timestamp"};function ra(t,e){let n=t.trim(),a=qt.filter(o=>e.includes(o)).map(o=>`level:${o}`);if(a.length===0)return n;let s=a.length===1?a[0]:`(${a.join(" OR ")})`;return n?`(${n}) AND ${s}`:s}function on(t,e,n){if(t?.reason!=="QUERY_SYNTAX")return null;let[a]=t.message.split(`
`),s=a.replace(/^query:? /,"").replace(/ at character \d+$/,""),o=Number.parseInt(t.metadata?.position??"",10);if(Number.isNaN(o))return{sentence:s,position:null};let r=Array.from(e),i=r.length-Array.from(e.trimStart()).length;return{sentence:s,position:Math.min(Math.max(0,n?o-1:o)+i,r.length)}}function ia(t,e,n=100){let a=Array.from(t.replaceAll("	"," ")),s=Math.max(0,Math.min(e-Math.floor(n/2),a.length-n)),o=Math.min(a.length,s+n),r=s>0?"…":"";return{text:r+a.slice(s,o).join("")+(o<a.length?"…":""),column:e-s+r.length}}var la=t=>`"${t.replace(/[\\"]/g,"\\$&")}"`,yo=t=>/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(t)&&!t.includes("..")?t:la(t),$o=t=>/^[A-Za-z_@][\w.@-]*$/.test(t)?t:la(t);function ua(t,e){return`${$o(t)}:${t==="level"?e.toLowerCase():yo(e)}`}function ca(t,e){let n=t.trim();return n?n.split(/\s+/).includes(e)?n:`${/(^|\s)OR(\s|$)/.test(n)?`(${n})`:n} ${e}`:e}function fa(t,e=12){let n=new Map,a=r=>n.set(r,(n.get(r)??0)+1),s=(r,i,u)=>{for(let[p,l]of Object.entries(r))l!==null&&typeof l=="object"&&!Array.isArray(l)?u<3&&s(l,`${i}${p}.`,u+1):/^[\w.@-]+$/.test(i+p)&&a(i+p)};for(let r of t){let i=null;if(r.startsWith("{"))try{i=JSON.parse(r)}catch{}if(i)s(i,"",0);else for(let u of new Set(Array.from(r.matchAll(/(?:^|[\s,;([])([A-Za-z_][\w.-]{0,40})=/g),p=>p[1])))a(u)}return["level","source",...[...n].sort((r,i)=>i[1]-r[1]).slice(0,e).map(([r])=>r).filter(r=>r!=="level"&&r!=="source")]}function pa({workspace:t,query:e,levels:n,from:a,to:s,order:o}){let r=new URLSearchParams;return t&&r.set("w",t),e&&r.set("q",e),n.length&&r.set("l",n.join(",")),a&&r.set("from",a),s&&r.set("to",s),o==="oldest"&&r.set("o",o),r.toString()}function da(t){let e=new URLSearchParams(t.replace(/^#/,"")),n=(e.get("l")??"").split(",").filter(a=>qt.includes(a));return{workspace:e.get("w")??"",query:e.get("q")??"",levels:n,from:e.get("from")??"",to:e.get("to")??"",order:e.get("o")==="oldest"?"oldest":"newest"}}var At=da(location.hash),at=d([]),m=d(At.workspace),ft=d(null),Qt=d(null),P=d(At.query),Z=d(At.levels),G=d(At.from),J=d(At.to),X=d(At.order),j=d("lines"),kt=d(!0),K=d(null);function ha(){let t={workspace:m.value,query:P.value,levels:Z.value},e={from:G.value,to:J.value,order:X.value};history.replaceState(null,"",`#${pa({...t,...e})}`)}function E(t){t?.name!=="AbortError"&&(ft.value=t)}function _a(){let t=ft.value;if(!t)return null;let[e,...n]=t.message.split(`
`),a=(t.violations??[]).map(s=>s.description).filter(s=>!t.message.includes(s));return f`
    <div class="banner" role="alert" data-testid="error">
      <div class="banner-text">
        <p>${e}</p>
        ${n.length>0&&f`<pre>${n.join(`
`)}</pre>`}
        ${a.map(s=>f`<p>${s}</p>`)}
        ${t.requestId&&f`<p class="faint">Request ${t.requestId}</p>`}
      </div>
      <button class="quiet" aria-label="Dismiss" onClick=${()=>ft.value=null}>✕</button>
    </div>
  `}var wo=new Intl.NumberFormat("en-US"),ma=["B","kB","MB","GB","TB"],w=t=>wo.format(t),ot=t=>`${w(t)} ${Number(t)===1?"line":"lines"}`;function pt(t){let e=Number(t)||0,n=0;for(;e>=999.5&&n<ma.length-1;)e/=1e3,n+=1;return`${n===0||e>=99.5?Math.round(e):e.toFixed(1)} ${ma[n]}`}function xt(t){if(t<1)return`${Math.round(t*1e3)} ms`;if(t<60)return`${t<10?t.toFixed(1):Math.round(t)} s`;let e=Math.floor(t/60);return e<60?`${e} min ${Math.round(t%60)} s`:`${Math.floor(e/60)} h ${e%60} min`}var Zt=t=>t?Number.parseFloat(t):0,st=t=>t?t.replace("T"," ").replace("Z","").slice(0,23):"";function va(t,e){if(!e||e.length===0)return[{text:t,marked:!1}];let n=/[\ud800-\udfff]/.test(t)?Array.from(t):null,a=(u,p)=>n?n.slice(u,p).join(""):t.slice(u,p),s=n?n.length:t.length,o=[],r=0,i=[...e].sort((u,p)=>u.start-p.start);for(let{start:u,end:p}of i){let l=Math.max(u,r);p>s||l>=p||(l>r&&o.push({text:a(r,l),marked:!1}),o.push({text:a(l,p),marked:!0}),r=p)}return r<s&&o.push({text:a(r,s),marked:!1}),o}function xe(t,e,{seen:n=70,before:a=30,most:s=500}={}){let o=e?.length?Math.min(...e.map(_=>_.start)):0;if(o<=n&&t.length<=s)return{text:t,highlights:e};let r=Array.from(t),i=o>n?o-a:0,u=r.slice(i,i+s).join(""),p=i>0?"…":"",l=(e??[]).map(({start:_,end:h})=>({start:_-i+p.length,end:Math.min(h-i,s)+p.length})).filter(({start:_,end:h})=>_<h);return{text:p+u+(i+s<r.length?"…":""),highlights:l}}function sn(t){return t?`${t.length===16?`${t}:00`:t}Z`:""}var Xt=t=>t?t.slice(0,19):"",rn=(t,e)=>e>0?`${(100*t/e).toFixed(1)} %`:"",St=t=>t.slice(t.lastIndexOf("/")+1);function Pt(t,e){return t.length<=e?t:`…${t.slice(t.length-e+1)}`}function ga({buckets:t,bucketWidth:e}){let n=Zt(e),a=t.flatMap((o,r)=>Number(o.count)>0?[r]:[]);if(a.length===0||n<1||a.at(-1)-a[0]+1>t.length/3)return null;let s=new Date(Date.parse(t[a.at(-1)].startTime)+n*1e3);return{startTime:t[a[0]].startTime,endTime:s.toISOString()}}var bo=30,ko=new Set(["SUCCEEDED","FAILED","CANCELLED"]),Q=d([]),Y=d([]),Nt=d(0),R=t=>ko.has(t.state),Se=new Map,ln="";function Ne(t){let e=Q.value,n=e.findIndex(s=>s.name===t.name),a=R(t)&&n>=0&&!R(e[n]);V(()=>{Q.value=n<0?[t,...e]:e.with(n,t),a&&(Nt.value+=1)})}async function ya(){let t=m.value;for(let e of Se.values())e.abort();if(Se=new Map,ln=t,Q.value=[],!!t)try{let e=await N(A(`/v1/${t}/imports`,{pageSize:bo}));if(ln!==t)return;Q.value=e.imports;for(let n of e.imports)R(n)||un(n.name)}catch(e){E(e)}}async function un(t){let e=new AbortController;Se.set(t,e);let n=()=>new Promise(s=>setTimeout(s,2e3)),a=null;for(;!e.signal.aborted&&!(a&&R(a));){try{await Kt(`/v1/${t}:watch`,s=>Ne(a=s.at(-1)),e.signal)}catch(s){if(s.name==="AbortError"||s.status===404)return}a&&R(a)||await n()}Se.delete(t)}async function $a(t,e){let n={sources:[{path:t}],...e?{follow:e}:{}},a=await N(`/v1/${m.value}/imports`,{method:"POST",body:n});Ne(a),R(a)||un(a.name)}async function wa(t){let e=m.value,n=A(`/v1/${e}/imports:upload`,{sourceName:t.name}),a={key:Symbol(t.name),name:t.name,size:t.size,sent:0,began:performance.now()},s=i=>{Y.value=Y.value.map(u=>u.key===a.key?{...u,...i}:u)},{answer:o,cancel:r}=na(n,t,i=>s({sent:i}));Y.value=[...Y.value,{...a,cancel:r}];try{let i=await o;e===ln&&(Ne(i),R(i)||un(i.name))}catch(i){E(i)}finally{Y.value=Y.value.filter(i=>i.key!==a.key)}}async function ba(t,e){try{Ne(await N(`/v1/${t}:${e}`,{method:"POST",body:{}}))}catch(n){E(n)}}var ka=(t,e)=>N(A(`/v1/${t}/files`,{pageSize:100,pageToken:e}));var Ce=d(!1);async function xo(t){t.preventDefault();let e=new FormData(t.target).get("name").trim();if(e)try{let n=await N("/v1/workspaces",{method:"POST",body:{displayName:e}});at.value=[...at.value,n],m.value=n.name,Ce.value=!1}catch(n){E(n)}}function So(t){let e=St(t.name);return t.displayName&&t.displayName.toLowerCase()!==e?`${t.displayName} (${e})`:e}function No(){let t=Qt.value,e=Object.entries(t?.services??{}).filter(([,a])=>a.status!=="SERVING"),n=t===null?"connecting":t.ok?"ready":e.length?`${e.map(([a])=>a).join(", ")} not ready`:"no connection";return f`<span class="health ${t?.ok?"good":t===null?"":"bad"}" data-testid="health" role="status">${n}</span>`}function xa(){let t=Q.value.filter(e=>!R(e)).length;return f`
    <header>
      <h1><img src="/assets/icon.svg" alt="" width="22" height="22" /> Log analyzer</h1>
      <label class="picker">
        <span>Workspace</span>
        <select
          data-testid="workspace"
          value=${m.value}
          onChange=${e=>m.value=e.target.value}
        >
          ${at.value.length===0&&f`<option value="">none</option>`}
          ${at.value.map(e=>f`<option key=${e.name} value=${e.name}>${So(e)}</option>`)}
        </select>
      </label>
      ${Ce.value?f`<form class="naming" onSubmit=${xo}>
            <input name="name" placeholder="Name of the workspace" maxlength="200" aria-label="Name of the new workspace" autofocus data-testid="workspace-name" />
            <button data-testid="workspace-create">Create</button>
            <button type="button" class="quiet" onClick=${()=>Ce.value=!1}>Cancel</button>
          </form>`:f`<button class="quiet" data-testid="workspace-new" onClick=${()=>Ce.value=!0}>New workspace</button>`}
      <${No} />
      <button
        class="quiet"
        aria-expanded=${kt.value?"true":"false"}
        aria-controls="imports"
        data-testid="imports-toggle"
        onClick=${()=>kt.value=!kt.value}
      >Imports${t>0?` (${t})`:""}</button>
    </header>
  `}var Sa={UNCHANGED:"nothing new",APPENDED:"only its end was new",INCOMPLETE:"not read whole"};function Co({file:t}){let e=[ot(t.lineCount),pt(t.byteCount),t.format||"no times",t.encoding];return t.startTime&&e.push(`${st(t.startTime).slice(0,19)} to ${st(t.endTime).slice(0,19)}`),Sa[t.state]&&e.push(Sa[t.state]),f`
    <li data-testid="import-file-row">
      <span class="path" title=${t.path}>${Pt(t.path,80)}</span>
      <span>${e.filter(Boolean).join(" · ")}</span>
      ${t.levels.length>0&&f`<span class="counts">
        ${t.levels.map(n=>f`<span class="level level-${n.level.toLowerCase()}">${n.level.toLowerCase()} ${w(n.count)}</span> `)}
      </span>`}
    </li>
  `}function Na({name:t,state:e}){let[n,a]=tn(!1),[s,o]=tn({files:[],token:"",known:!1}),r=async(i,u)=>{try{let p=await ka(t,i);o({files:[...u,...p.files],token:p.nextPageToken,known:!0})}catch(p){E(p)}};return $t(()=>{n&&r("",[])},[n,e]),f`
    <details data-testid="import-files" onToggle=${i=>a(i.currentTarget.open)}>
      <summary class="plain">Files</summary>
      ${n&&s.known&&s.files.length===0&&f`<p class="faint">None yet.</p>`}
      <ul class="files">
        ${n&&s.files.map(i=>f`<${Co} key=${i.path} file=${i} />`)}
      </ul>
      ${n&&s.token&&f`<button class="quiet" onClick=${()=>r(s.token,s.files)}>More files</button>`}
    </details>
  `}var Ee=d(""),cn=d(!1),Te=d(!1);async function To(t){t.preventDefault();let e=Ee.value.trim();if(e)try{await $a(e,cn.value),Ee.value=""}catch(n){E(n)}}function Ca(t){for(let e of t)wa(e)}var Eo={QUEUED:"waiting",RUNNING:"running",PAUSED:"paused",SUCCEEDED:"done",FAILED:"failed",CANCELLED:"cancelled"},fn=t=>t.follow&&t.state==="RUNNING"&&Number(t.progress?.totalBytes)<=Number(t.progress?.processedBytes),Do=t=>fn(t)?"following":Eo[t.state]??t.state.toLowerCase();function Oo(t){let e=t.progress??{},n=[ot(t.lineCount),pt(t.byteCount)];return R(t)?t.endTime&&(t.startTime||t.createTime)&&n.push(xt((Date.parse(t.endTime)-Date.parse(t.startTime??t.createTime))/1e3)):(e.bytesPerSecond>0&&n.push(`${pt(e.bytesPerSecond)}/s`),e.eta&&n.push(`${xt(Zt(e.eta))} left`)),n.join(" · ")}function Mo({one:t}){let e=t.progress??{},n=!R(t),a=(i,u)=>f`<button class="quiet" data-testid="import-${i}" onClick=${()=>ba(t.name,i)}>${u}</button>`,s=Number(e.totalBytes)>0?Number(e.processedBytes)/Number(e.totalBytes):0,o=t.sources.flatMap(i=>i.errors??[]),r=Number(e.totalFiles)>1?`${w(e.processedFiles)} of ${w(e.totalFiles)} files`:"";return f`
    <li class="import state-${t.state.toLowerCase()}" data-testid="import" data-state=${t.state}>
      <div class="head">
        <span class="name" title=${t.sources.map(i=>i.path).join(`
`)}>
          ${t.sources.map(i=>St(i.path.replace(/\/+$/,""))||i.path).join(", ")}
        </span>
        <span class="state" data-testid="import-state">${Do(t)}</span>
      </div>
      ${n&&!fn(t)&&f`<progress max="1" value=${s} aria-label="Progress" data-testid="import-progress"></progress>`}
      <div class="facts">
        <span data-testid="import-facts">${Oo(t)}</span>
      </div>
      ${n&&f`<div class="facts">
        <span>${r}</span>
        <span class="acts">
          ${t.state==="PAUSED"?a("resume","Resume"):a("pause","Pause")}
          ${a("cancel",fn(t)?"Stop":"Cancel")}
        </span>
      </div>`}
      ${t.errorMessage&&f`<p class=${t.state==="FAILED"?"failure":"facts"}>${t.errorMessage}</p>`}
      ${o.length>0&&f`<details data-testid="import-errors">
        <summary>${w(t.errorCount)} ${Number(t.errorCount)===1?"file":"files"} could not be read whole</summary>
        <ul>
          ${o.slice(0,20).map(i=>f`<li><span class="path">${i.path}</span> ${i.message}</li>`)}
        </ul>
      </details>`}
      ${Number(t.fileCount)>0&&f`<${Na} name=${t.name} state=${t.state} />`}
    </li>
  `}function qo({one:t}){let e=t.sent/Math.max(.001,(performance.now()-t.began)/1e3),n=e>0?(t.size-t.sent)/e:0;return f`
    <li class="import state-running" data-testid="upload">
      <div class="head"><span class="name">${t.name}</span><span class="state">sending</span></div>
      <progress max=${t.size||1} value=${t.sent} aria-label="Sent"></progress>
      <div class="facts">
        <span>${pt(t.sent)} of ${pt(t.size)} · ${pt(e)}/s · ${xt(n)} left</span>
        <button class="quiet" onClick=${t.cancel}>Cancel</button>
      </div>
    </li>
  `}function Ta(){let t=n=>{n.preventDefault(),Te.value=!1,Ca(n.dataTransfer.files)},e=n=>{n.preventDefault(),Te.value=!0};return f`
    <aside
      id="imports"
      class="imports ${Te.value?"dragging":""}"
      aria-label="Imports"
      onDragOver=${e}
      onDragLeave=${()=>Te.value=!1}
      onDrop=${t}
    >
      <h2>Imports</h2>
      <form onSubmit=${To}>
        <input
          data-testid="import-path"
          aria-label="Path to import"
          placeholder="/var/log or an archive"
          spellcheck=${!1}
          value=${Ee.value}
          onInput=${n=>Ee.value=n.target.value}
        />
        <button data-testid="import-start" disabled=${!m.value}>Import</button>
        <label class="switch" title="Go on with what is written to the files later">
          <input type="checkbox" data-testid="import-follow" checked=${cn.value} onChange=${n=>cn.value=n.target.checked} />
          Follow what is written later
        </label>
      </form>
      <label class="file">
        <input
          type="file"
          multiple
          data-testid="import-file"
          disabled=${!m.value}
          onChange=${n=>{Ca(n.target.files),n.target.value=""}}
        />
        <span>Choose files, or drop them here</span>
      </label>
      <ul class="list" data-testid="imports">
        ${Y.value.map(n=>f`<${qo} key=${n.key} one=${n} />`)}
        ${Q.value.map(n=>f`<${Mo} key=${n.name} one=${n} />`)}
      </ul>
    </aside>
  `}var De=5e3,Ea=500,W=d([]),U=d(!1),q=d(!1),pn=d(!1),Oe=d(0),Me=d(null),Yt=d(null),te=d(null),Lt=d(null),qe=d(null),z=d(-1),F=d(null),tt=null;function ee(){tt?.abort()}function Ct(){return{query:ra(P.value,Z.value),startTime:sn(G.value),endTime:sn(J.value)}}var dt=t=>`/v1/${m.value}/logs:${t}`;function Da(){ee();let t=new AbortController;return tt=t,V(()=>{W.value=[],U.value=pn.value=!0,q.value=!1,Yt.value=te.value=Lt.value=qe.value=F.value=Me.value=null,ft.value=K.value=null,z.value=-1}),ha(),t}async function dn(t){let e=P.value,n=Z.value.length>0&&e.trim()!=="",a=on(t,e,n);if(a&&n){let s=await N(A(dt("explain"),{query:e.trim()})).catch(o=>on(o,e,!1));if(P.value!==e)return;s&&"sentence"in s&&(a=s)}a?K.value=a:E(t)}function hn(t,e){tt===e&&dn(t)}async function M(){if(!m.value)return;let t=Da(),e=[],n=performance.now(),a=()=>(performance.now()-n)/1e3;Oe.value+=1,Po(t);try{await Kt(A(dt("search"),{...Ct(),orderBy:bt[X.value],pageSize:De}),s=>Ao(s,e,a,t),t.signal),tt===t&&(te.value=a())}catch(s){hn(s,t)}finally{tt===t&&(U.value=!1)}}function Ao(t,e,n,a){tt===a&&V(()=>{let s=e.length;for(let o of t)o.hits&&e.push(...o.hits.hits),o.progress&&(Me.value=o.progress);e.length>s&&(s===0&&(Yt.value=n()),W.value=e.slice(0))})}async function Po(t){try{let e=s=>N(A(dt("histogram"),{...Ct(),...s,bucketCount:80}),{signal:t.signal}),n=await e();if(tt!==t)return;Lt.value=Number(n.totalSize);let{undatedCount:a}=n;for(let s=0,o;s<6&&(o=ga(n));s+=1)n=await e(o);tt===t&&(qe.value={...n,undatedCount:a})}catch(e){hn(e,t)}}async function Oa(){if(!m.value)return;let t=Da();q.value=!0,j.value="lines";let{query:e}=Ct();try{await Kt(A(dt("tail"),{query:e}),n=>{if(tt!==t)return;let a=n.flatMap(s=>s.hits??[]).reverse();a.length!==0&&V(()=>{W.value=[...a,...W.value].slice(0,De),z.value>=0&&(z.value+=a.length),Lt.value=(Lt.value??0)+a.length})},t.signal)}catch(n){hn(n,t)}finally{tt===t&&(U.value=q.value=!1)}}function Ae(t){let e=W.value[t];e&&(z.value=t,ne(e,20))}async function ne(t,e){let n=Math.min(e,Ea),s={...F.value?.hit.id===t.id?F.value:{hit:t,before:[],after:[]},highlights:t.highlights,reach:n,loading:!0};F.value=s;try{let o=`/v1/${m.value}/logs/${encodeURIComponent(t.id)}:context`,r=await N(A(o,{before:n,after:n})),i=n>=Ea||r.before.length<n&&r.after.length<n;F.value===s&&(F.value={...r,highlights:t.highlights,reach:n,whole:i,loading:!1})}catch(o){if(F.value!==s)return;let r=q.value&&o.status===404;F.value=r?{...s,loading:!1,whole:!0,fresh:r}:null,r||E(o)}}function ae(){F.value=null}function mn({hit:t,highlights:e=t.highlights}){return va(t.text,e).map(n=>n.marked?f`<mark>${n.text}</mark>`:n.text)}var _n=2e4,Ma=(t,e=[])=>xe(t.text,e,{seen:_n/2,before:_n/2,most:_n});function qa(){let t=F.value,e=Wt(null),n=t?.hit.id,a=t?t.before.length+t.after.length:0;if($t(()=>{let o=e.current,r=o?.querySelector(".main");r&&(o.scrollTop=r.offsetTop-(o.clientHeight-r.offsetHeight)/2)},[n,a]),!t)return null;let s=(o,r)=>f`
    <li key=${o.id} class="${r?"main":""} ${o.recordId&&o.recordId===t.hit.recordId?"same":""}" aria-current=${r?"true":void 0} data-testid=${r?"context-hit":"context-line"}>
      <span class="number">${o.lineNumber}</span>
      <span class="text">${r?f`<${mn} hit=${Ma(o,t.highlights??o.highlights)} />`:Ma(o).text||" "}</span>
    </li>
  `;return f`
    <section class="context" aria-label="Context of the line" data-testid="context" onKeyDown=${o=>o.key==="Escape"&&ae()}>
      <header>
        <h2 title=${t.hit.source}>${Pt(t.hit.source,120)}:${t.hit.lineNumber}</h2>
        ${t.fresh&&f`<span class="faint">its neighbours can be shown in a moment</span>`}
        ${!t.whole&&f`<button class="quiet" data-testid="context-more" disabled=${t.loading} onClick=${()=>ne({...t.hit,highlights:t.highlights},t.reach*4)}>
          More lines
        </button>`}
        <span class="faint">${ot(a+1)}</span>
        <button class="quiet" aria-label="Close context" data-testid="context-close" onClick=${ae}>✕</button>
      </header>
      <ol ref=${e} tabindex="0" aria-label="Lines around it">
        ${t.before.map(o=>s(o,!1))}
        ${s(t.hit,!0)}
        ${t.after.map(o=>s(o,!1))}
      </ol>
    </section>
  `}var Pe=48,Lo=[...qt].reverse().map(t=>t.toUpperCase());function Ro(t,e){let n=new Map(t.levels.map(u=>[u.level,Number(u.count)])),a=Number(t.count),s=Lo.map(u=>[u.toLowerCase(),n.get(u)??0]).filter(([,u])=>u>0),o=a-s.reduce((u,[,p])=>u+p,0);o>0&&s.push(["none",o]);let r=a===0?0:Math.max(2,a/e*Pe),i=Pe;return s.map(([u,p])=>{let l=p/a*r;return i-=l,{level:u,y:i,height:l}})}function Uo(t,e){let n=Date.parse(t.startTime);G.value=Xt(new Date(n).toISOString()),J.value=Xt(new Date(n+e*1e3).toISOString()),M()}function Aa(){let t=qe.value;if(!t||t.buckets.length===0)return null;let e=Zt(t.bucketWidth),n=Math.max(...t.buckets.map(i=>Number(i.count)),1),a=1e3/t.buckets.length,s=t.buckets[0],o=t.buckets.at(-1),r=Number(t.undatedCount);return f`
    <figure class="histogram" data-testid="histogram">
      <svg viewBox="0 0 1000 ${Pe}" preserveAspectRatio="none" role="img" aria-label="Matching lines by time">
        ${t.buckets.map((i,u)=>f`<g key=${i.startTime} class="bar" onClick=${()=>Uo(i,e)}>
            <title>${st(i.startTime)} UTC: ${ot(i.count)}</title>
            <rect class="hit" x=${u*a} y="0" width=${a} height=${Pe} />
            ${Ro(i,n).map(p=>f`<rect
                key=${p.level}
                class="fill-${p.level}"
                x=${u*a+a*.1}
                y=${p.y}
                width=${a*.8}
                height=${p.height}
              />`)}
          </g>`)}
      </svg>
      <figcaption>
        <span>${st(s.startTime).slice(0,19)}</span>
        <span class="faint">${r>0?`${ot(r)} without a time`:"click a bar to look closer"}</span>
        <span>${st(new Date(Date.parse(o.startTime)+e*1e3).toISOString()).slice(0,19)}</span>
      </figcaption>
    </figure>
  `}var ht=d("level"),Rt=d(null),Re=d(null),Ue=d(null),Le=d(!1),Fo={values:"topValues",templates:"templates",plan:"explain"},Ho={values:Rt,templates:Re,plan:Ue},oe=null;function vn(t){ht.value=t.trim(),Rt.value=null,ht.value&&Pa()}async function Pa(){let t=j.value,e=Ho[t];if(!e||e.value||!m.value)return;oe?.abort();let n=new AbortController;oe=n,Le.value=!0;let a={values:{field:ht.value,limit:50},templates:{limit:200}}[t]??{};try{let s=await N(A(dt(Fo[t]),{...Ct(),...a}),{signal:n.signal});oe===n&&(e.value=t==="values"?{...s,field:ht.value}:s)}catch(s){oe===n&&dn(s)}finally{oe===n&&(Le.value=!1)}}L(()=>{Oe.value!==0&&V(()=>{Rt.value=Re.value=Ue.value=null})});L(()=>{Oe.value===0||j.value==="lines"||queueMicrotask(Pa)});var se=[["lines","Lines"],["values","Top values"],["templates","Templates"],["plan","Plan"]];function La(){let t=j.value;return f`
    <div class="tabs" role="tablist" aria-label="Views" onKeyDown=${n=>{let a={ArrowRight:1,ArrowLeft:-1}[n.key];if(!a)return;let s=se.findIndex(([r])=>r===t),[o]=se[(s+a+se.length)%se.length];j.value=o,n.currentTarget.querySelector(`#tab-${o}`).focus(),n.preventDefault()}}>
      ${se.map(([n,a])=>f`<button
          key=${n}
          type="button"
          role="tab"
          id="tab-${n}"
          aria-selected=${t===n?"true":"false"}
          aria-controls="view"
          tabindex=${t===n?0:-1}
          data-testid="tab-${n}"
          onClick=${()=>j.value=n}
        >${a}</button>`)}
    </div>
  `}var gn=()=>f`<p class="nothing" role="status">${Le.value?"Looking …":"Search first."}</p>`,Io=(t,e)=>(t==="level"?e.toLowerCase():e)||"(empty)";function jo(t){P.value=ca(P.value,ua(Rt.value.field,t)),M()}function Bo(){let t=fa(W.value.slice(0,200).map(n=>n.text));return f`
    <form class="fields" onSubmit=${n=>{n.preventDefault(),vn(new FormData(n.target).get("field"))}}>
      <label>Field <input name="field" key=${ht.value} value=${ht.value} spellcheck=${!1} autocomplete="off" data-testid="values-field" /></label>
      <button data-testid="values-show">Show</button>
      <div class="chips" role="group" aria-label="Fields of the lines">
        ${t.map(n=>f`<button key=${n} type="button" class="chip plain" aria-pressed=${ht.value===n?"true":"false"} onClick=${()=>vn(n)}>${n}</button>`)}
      </div>
    </form>
  `}function Ra(){let t=Rt.value;return f`
    <div class="view" data-testid="values">
      <${Bo} />
      ${!t&&gn()}
      ${t&&f`
        <p class="faint">
          ${w(t.lineCount)} of ${w(t.totalSize)} matching lines have ${t.field}
          ${t.isEstimate&&`; counted in ${w(t.linesRead)} of them`}
        </p>
        <table>
          <thead><tr><th>Value</th><th class="number">Lines</th><th class="number">Share</th><td></td></tr></thead>
          <tbody>
            ${t.values.map(e=>f`<tr key=${e.value}>
                <td><button type="button" class="link" title="Only lines with this value" data-testid="value" onClick=${()=>jo(e.value)}>${Io(t.field,e.value)}</button></td>
                <td class="number">${w(e.count)}</td>
                <td class="number">${rn(Number(e.count),Number(t.lineCount))}</td>
                <td class="meter" aria-hidden="true"><span style=${{width:`${100*Number(e.count)/Number(t.values[0].count)}%`}}></span></td>
              </tr>`)}
          </tbody>
        </table>
        ${t.values.length===0&&f`<p class="nothing">No matching line has this field.</p>`}
      `}
    </div>
  `}var Wo=t=>t.split(/(<\*>)/).map(e=>e==="<*>"?f`<span class="faint">${e}</span>`:e);function Ua(){let t=Re.value;return t?f`
    <div class="view" data-testid="templates">
      <p class="faint">From ${w(t.linesRead)} of ${w(t.totalSize)} matching lines.</p>
      <table>
        <thead><tr><th class="number">Lines</th><th class="number">Share</th><th>Template</th></tr></thead>
        <tbody>
          ${t.templates.map(e=>f`<tr key=${e.text}>
              <td class="number">${w(e.count)}</td>
              <td class="number">${rn(Number(e.count),Number(t.linesRead))}</td>
              <td><button type="button" class="link mono" title="Show an example" data-testid="template" onClick=${()=>e.example&&ne(e.example,20)}>${Wo(e.text)}</button></td>
            </tr>`)}
        </tbody>
      </table>
      ${t.templates.length===0&&f`<p class="nothing">No line matches.</p>`}
    </div>
  `:f`<div class="view">${gn()}</div>`}function Fa(){let t=Ue.value;if(!t)return f`<div class="view">${gn()}</div>`;let e=n=>Number(n.estimate)<0?"?":w(n.estimate);return f`
    <div class="view" data-testid="plan">
      <dl>
        <dt>Understood as</dt>
        <dd class="mono" data-testid="plan-form">${t.normalForm||"every line"}</dd>
        <dt>Parts of the index</dt>
        <dd>${w(Number(t.splits)-Number(t.splitsPruned))} of ${w(t.splits)}${Number(t.splitsPruned)>0&&"; the times of the others rule them out"}</dd>
        <dt>Lines that may match</dt>
        <dd>${w(t.candidateLines)} of ${w(t.lines)}; ${t.readsLines?"each is read to know that it matches":"the index alone tells them"}</dd>
      </dl>
      ${t.steps.length>0&&f`<table>
        <thead><tr><th>Part</th><th>Found by</th><th class="number">Lines</th></tr></thead>
        <tbody>
          ${t.steps.map((n,a)=>f`<tr key=${a}><td class="mono">${n.part}</td><td>${n.method}</td><td class="number">${e(n)}</td></tr>`)}
        </tbody>
      </table>`}
    </div>
  `}var rt=24,Ha=20,Ut=d({top:0,height:600}),zo=t=>`${Pt(St(t.source),18-String(t.lineNumber).length)}:${t.lineNumber}`,Ia=t=>t.level==="LEVEL_UNSPECIFIED"?"":t.level.toLowerCase();function Vo(){let t=W.value.length,e=Lt.value,n=[],a=e===1?"line":"lines";q.value?n.push(f`live: <strong data-testid="live-total">${w(e??0)}</strong> ${a} since it began`):e!==null?n.push(f`<strong data-testid="total">${w(e)}</strong> ${a}`):pn.value&&U.value&&n.push("counting");let s=Me.value;return U.value&&s&&Number(s.linesTotal)>0&&n.push(`${w(s.linesDone)} of ${w(s.linesTotal)} lines looked at`),t<(e??0)&&!U.value&&t>=De&&n.push(`first ${w(t)} shown`),Yt.value!==null&&n.push(f`first hit after <span data-testid="first-hit">${xt(Yt.value)}</span>`),te.value!==null&&n.push(f`<span data-testid="took">${xt(te.value)}</span> in all`),f`
    <p class="status" role="status" data-testid="status">
      ${U.value&&f`<span class="spinner" aria-hidden="true"></span> ${q.value?"":"searching… "}`}
      ${n.map((o,r)=>f`${r>0&&" · "}${o}`)}
    </p>
  `}var yn=new WeakMap;function Go(t){return yn.has(t)||yn.set(t,xe(t.text,t.highlights)),yn.get(t)}function Jo({hit:t,index:e}){return f`
    <div
      id="row-${e}"
      class="row ${z.value===e?"selected":""}"
      role="option"
      aria-selected=${z.value===e?"true":"false"}
      data-testid="row"
      style=${{top:`${e*rt}px`}}
      onClick=${()=>Ae(e)}
    >
      <span class="when">${st(t.timestamp)}</span>
      <span class="level level-${Ia(t)}">${Ia(t)}</span>
      <span class="where" title="${t.source}:${t.lineNumber}">${zo(t)}</span>
      <span class="text"><${mn} hit=${Go(t)} /></span>
    </div>
  `}function Ko(){let t=Wt(null),e=W.value;$t(()=>{let o=()=>{t.current&&(Ut.value={top:t.current.scrollTop,height:t.current.clientHeight})},r=new ResizeObserver(o);return r.observe(t.current),()=>r.disconnect()},[]);let n=o=>{let r=Math.max(1,Math.floor(Ut.value.height/rt)-1),i={ArrowDown:1,ArrowUp:-1,PageDown:r,PageUp:-r,Home:-e.length,End:e.length};if(o.key==="Enter")Ae(z.value);else if(o.key==="Escape")ae();else if(o.key in i){let u=Math.min(e.length-1,Math.max(0,z.value+i[o.key]));z.value=u;let{scrollTop:p,clientHeight:l}=t.current;u*rt<p?t.current.scrollTop=u*rt:(u+1)*rt>p+l&&(t.current.scrollTop=(u+1)*rt-l),F.value&&Ae(u)}else return;o.preventDefault()},a=Math.max(0,Math.floor(Ut.value.top/rt)-Ha),s=Math.min(e.length,Math.ceil((Ut.value.top+Ut.value.height)/rt)+Ha);return f`
    <div
      class="rows"
      ref=${t}
      role="listbox"
      aria-label="Matching lines"
      aria-activedescendant=${z.value>=0?`row-${z.value}`:void 0}
      tabindex="0"
      data-testid="rows"
      onKeyDown=${n}
      onScroll=${()=>Ut.value={top:t.current.scrollTop,height:t.current.clientHeight}}
    >
      <div class="rows-all" style=${{height:`${e.length*rt}px`}}>
        ${e.slice(a,s).map((o,r)=>f`<${Jo} key=${o.id} hit=${o} index=${a+r} />`)}
      </div>
      ${e.length===0&&f`<${Qo} />`}
    </div>
  `}function Qo(){if(q.value)return f`<p class="nothing" data-testid="nothing">Lines appear here as they are read.</p>`;if(U.value||ft.value||K.value)return null;let t=Y.value.length>0||Q.value.some(e=>!R(e));return m.value?t?f`<p class="nothing" data-testid="nothing">Nothing found yet. Lines can be found as parts of the import are done.</p>`:Q.value.length===0?f`<p class="nothing" data-testid="nothing">Nothing is imported here yet. Start with a path or a file under Imports.</p>`:f`<p class="nothing" data-testid="nothing">No line matches.</p>`:f`<p class="nothing">Make a workspace first.</p>`}function Zo(){if(q.value)return null;let t=e=>{X.value=e.target.value,M()};return f`
    <select aria-label="Order" data-testid="order" value=${X.value} onChange=${t}>
      <option value="newest">Newest first</option>
      <option value="oldest">Oldest first</option>
    </select>
  `}function Xo(){if(!m.value||K.value||q.value)return null;let t=A(dt("export"),{...Ct(),orderBy:bt[X.value]});return f`<a class="button quiet" href=${t} download="${St(m.value)}.ndjson" title="All matching lines as NDJSON" data-testid="export">Export</a>`}var Yo={lines:Ko,values:Ra,templates:Ua,plan:Fa};function ja(){let t=Nt.value>0;return f`
    <div class="bar-line">
      <${Vo} />
      ${t&&!q.value&&f`<button
        class="quiet"
        data-testid="refresh"
        onClick=${()=>{Nt.value=0,M()}}
      >New lines were imported: search again</button>`}
    </div>
    <${Aa} />
    <div class="bar-line">
      <${La} />
      <div class="acts"><${Zo} /><${Xo} /></div>
    </div>
    <div id="view" class="tabpanel" role="tabpanel" aria-labelledby="tab-${j.value}">
      <${Yo[j.value]} />
    </div>
    <${qa} />
  `}var ts=[["a term","timeout","a run of letters and digits, without case"],["terms in a row",'"connection reset"',"next to each other"],["all, any, none","kafka (error OR warn) NOT debug","side by side means AND, which binds closer than OR"],["a part of a term","conn*","* is any letters and digits, ? is one"],["any part of a line","contains:edi","also within words; contains_case: minds the case"],["a regular expression","/user \\d+ (failed|denied)/i","RE2's syntax; i: without case"],["with its case","case:Error",'a term or "terms in a row"'],["a term with slips","tiemout~","one letter more, less or another; ~2: two"],["a field","user.id:42",'of JSON, or written as key=value or key: value; name:"two words"'],["a comparison","latency:>500","also < <= >= and 1..5; numbers by size"],["a pattern in a field","host:web*","user.id:* is any line that has the field"],["a level","level:>=warn","also level:error, level:info..warn"],["a source","source:kafka","files whose path contains it"],["a time","time:>=2016-12-19","also time:A..B; in UTC"],["a time from now","last:15m","s, m, h, d or w"]];function Ba({onPick:t}){return f`
    <section class="help" id="help" aria-label="Forms of a query" data-testid="help">
      <table>
        <thead><tr><th>Form</th><th>Example</th><th>Finds lines with it</th></tr></thead>
        <tbody>
          ${ts.map(([e,n,a])=>f`<tr key=${e}>
              <td>${e}</td>
              <td><button type="button" class="link mono" title="Search for this" onClick=${()=>t(n)}>${n}</button></td>
              <td class="faint">${a}</td>
            </tr>`)}
        </tbody>
      </table>
    </section>
  `}var H=d([]),Et=d(""),re=d(!1),Tt=d(!1),Wa=()=>`/v1/${m.value}/savedQueries`,es=t=>t.sort((e,n)=>e.displayName<n.displayName?-1:1);async function ns(){let t=m.value;H.value=[],Et.value="";try{for(let e="",n=!0;n||e;n=!1){let a=await N(A(Wa(),{pageSize:1e3,pageToken:e}));if(m.value!==t)return;H.value=[...H.value,...a.savedQueries],e=a.nextPageToken}}catch(e){m.value===t&&E(e)}}L(()=>{m.value&&queueMicrotask(ns)});function as(t){Et.value=t,Tt.value=!1;let e=H.value.find(n=>n.name===t);e&&(P.value=e.query,X.value=e.orderBy===bt.oldest?"oldest":"newest",Z.value=[],M())}async function os(t){t.preventDefault();let e=new FormData(t.target).get("name").trim();if(!e)return;let n={displayName:e,query:P.value,orderBy:bt[X.value]},a=H.value.find(s=>s.displayName===e);try{let s=a?await N(`/v1/${a.name}`,{method:"PATCH",body:n}):await N(Wa(),{method:"POST",body:n});H.value=es([...H.value.filter(o=>o.name!==s.name),s]),Et.value=s.name,re.value=!1}catch(s){E(s)}}async function ss(){if(!Tt.value){Tt.value=!0;return}Tt.value=!1;let t=Et.value;try{await N(`/v1/${t}`,{method:"DELETE"})}catch(e){if(e.status!==404)return E(e)}H.value=H.value.filter(e=>e.name!==t),Et.value=""}function za(){let t=H.value.find(e=>e.name===Et.value);return re.value?f`
      <form class="saved" onSubmit=${os} onKeyDown=${n=>{n.key==="Escape"&&(n.stopPropagation(),re.value=!1)}}>
        <input name="name" value=${t?.displayName??""} maxlength="200" placeholder="Name of the query" aria-label="Name of the query" ref=${n=>n?.focus()} data-testid="saved-name" />
        <button data-testid="saved-save">Save</button>
        <button type="button" class="quiet" onClick=${()=>re.value=!1}>Cancel</button>
      </form>
    `:f`
    <div class="saved">
      <select aria-label="Saved queries" data-testid="saved" value=${Et.value} disabled=${H.value.length===0} onChange=${e=>as(e.target.value)}>
        <option value="">${H.value.length?"Saved queries":"No saved queries"}</option>
        ${H.value.map(e=>f`<option key=${e.name} value=${e.name}>${e.displayName}</option>`)}
      </select>
      <button type="button" class="quiet" data-testid="saved-new" disabled=${!m.value} onClick=${()=>re.value=!0}>Save query</button>
      ${t&&f`<button type="button" class="quiet ${Tt.value?"danger":""}" data-testid="saved-delete" onClick=${ss} onBlur=${()=>Tt.value=!1}>
        ${Tt.value?`Delete “${t.displayName}”?`:"Delete"}
      </button>`}
    </div>
  `}var Ft=d(!1),rs=[["15 minutes",15],["hour",60],["day",1440],["week",10080]];function is(t){let e=Z.value;Z.value=e.includes(t)?e.filter(n=>n!==t):[...e,t],M()}function ls(t){t.preventDefault(),M()}function Va(){G.value=J.value="",M()}function us(t){G.value=Xt(new Date(Date.now()-t*6e4).toISOString()),J.value="",M()}function cs(t){t.key==="Escape"&&(U.value?ee():Ft.value=!1)}var Ga=t=>e=>t.value=e.target.value;function fs(t){P.value=t.target.value,K.value=null}function ps(t){P.value=t,Ft.value=!1,M()}function ds(){let t=K.value;if(!t)return null;let e=t.position===null?null:ia(P.value,t.position);return f`
    <div class="wrong" id="wrong" role="alert" data-testid="query-error">
      ${e&&f`<pre aria-hidden="true">${e.text}${`
`}${" ".repeat(e.column)}<b>^</b></pre>`}
      <p>${t.sentence}${t.position!==null&&` (character ${t.position+1})`}</p>
    </div>
  `}function Ja(){let t=G.value||J.value;return f`
    <section class="query" onKeyDown=${cs}>
      <form class="line" role="search" onSubmit=${ls}>
        <input
          type="search"
          class="box"
          data-testid="query"
          aria-label="Query"
          aria-invalid=${K.value?"true":"false"}
          aria-describedby=${K.value?"wrong":void 0}
          placeholder='timeout AND (disk OR "read error") NOT debug — empty shows everything'
          autocomplete="off"
          spellcheck=${!1}
          autofocus
          value=${P.value}
          onInput=${fs}
        />
        <button
          type="button"
          class="quiet"
          aria-expanded=${Ft.value?"true":"false"}
          aria-controls="help"
          data-testid="help-toggle"
          onClick=${()=>Ft.value=!Ft.value}
        >Help</button>
        <button
          type="button"
          class=${q.value?"stop":""}
          aria-pressed=${q.value?"true":"false"}
          title="Show lines as they are read"
          data-testid="tail"
          disabled=${!m.value}
          onClick=${()=>q.value?ee():Oa()}
        >${q.value?"Stop":"Live"}</button>
        ${U.value&&!q.value?f`<button type="button" class="stop" data-testid="cancel" onClick=${ee}>Cancel</button>`:f`<button class="main" data-testid="search" disabled=${!m.value}>Search</button>`}
      </form>
      <${ds} />
      ${Ft.value&&f`<${Ba} onPick=${ps} />`}
      <div class="line filters">
        <div class="chips" role="group" aria-label="Levels">
          ${qt.map(e=>f`<button
              key=${e}
              type="button"
              class="chip level-${e}"
              aria-pressed=${Z.value.includes(e)?"true":"false"}
              data-testid="level-${e}"
              onClick=${()=>is(e)}
            >${e}</button>`)}
        </div>
        <${za} />
      </div>
      <div class="line filters">
        <div class="range">
          <label>From <input type="datetime-local" step="1" data-testid="from" value=${G.value} onChange=${Ga(G)} /></label>
          <label>to <input type="datetime-local" step="1" data-testid="to" value=${J.value} onChange=${Ga(J)} /></label>
          <span class="faint">UTC</span>
          <select aria-label="Time range" data-testid="last" value="" onChange=${e=>e.target.value?us(Number(e.target.value)):Va()}>
            <option value="">${t?"Any time":"Last …"}</option>
            ${rs.map(([e,n])=>f`<option key=${e} value=${n}>Last ${e}</option>`)}
          </select>
          ${t&&f`<button type="button" class="quiet" data-testid="range-clear" onClick=${Va}>Any time</button>`}
        </div>
      </div>
    </section>
  `}var Ka=d(!1);async function hs(){try{let{workspaces:t}=await N("/v1/workspaces?pageSize=1000");at.value=t.filter(n=>!n.deleting),at.value.some(n=>n.name===m.value)||(m.value=at.value[0]?.name??"")}catch(t){E(t)}Ka.value=!0}async function Qa(){try{let t=await fetch("/readyz");Qt.value={ok:t.ok,services:(await t.json()).services??{}}}catch{Qt.value={ok:!1,services:{}}}setTimeout(Qa,document.hidden?3e4:5e3)}function _s(){return f`
    <${xa} />
    <${_a} />
    <main class=${kt.value?"":"wide"}>
      <section class="search" aria-label="Search">
        <${Ja} />
        <${ja} />
      </section>
      ${kt.value&&f`<${Ta} />`}
    </main>
  `}document.addEventListener("keydown",t=>{t.key!=="/"||t.ctrlKey||t.metaKey||t.altKey||/^(INPUT|SELECT|TEXTAREA)$/.test(t.target.tagName)||(document.querySelector(".box").focus(),t.preventDefault())});qn(f`<${_s} />`,document.getElementById("app"));hs();Qa();L(()=>{if(!Ka.value)return;let t=m.value;queueMicrotask(()=>{ya(),t&&M()})});L(()=>{Nt.value!==0&&queueMicrotask(()=>{W.value.length>0||U.value||(Nt.value=0,M())})});
