var g,Ie,ce,J,ue,At,Re,Pt,je,fe,le,Bn,$t=Symbol.for("pv"),qt={},Ht=[],zn=/^m(i|n|o|s|text|space)$/,_e=Array.isArray,pe=Ht.slice,at=Object.assign;function rt(t){t&&t.parentNode&&t.remove()}function Lt(t,e,n){var o,a,r,s={},i=arguments.length;for(r in e)r=="key"?o=e[r]:r=="ref"&&typeof t!="function"?a=e[r]:s[r]=e[r];return i>2&&(s.children=i>3?pe.call(arguments,2):n),wt(t,s,o,a,null)}function wt(t,e,n,o,a){var r={type:t,props:e,key:n,ref:o,__k:null,__:null,__b:0,__e:null,__c:null,constructor:$t,__v:a||++Ie,__i:-1,__u:0};return!a&&g.vnode&&g.vnode(r),r}function st(t){return t.children}function _t(t,e){this.props=t,this.context=e,this.__g=0}function Z(t,e){if(e==null)return t.__&&Z(t.__,t.__i+1);for(var n;e<t.__k.length;e++)if((n=t.__k[e])&&n.__e)return n.__e;return typeof t.type!="function"||t.props.__P?null:Z(t)}function Vn(t){var e,n=t.__v,o=n.__e,a=[],r=[],s=t.__P;s&&((e=at({constructor:$t},n)).__v=n.__v+1,g.vnode&&g.vnode(e),he(s,e,n,t.__n,s.namespaceURI,32&n.__u?[o]:null,a,o||Z(n),32&n.__u,r),e.__v=n.__v,e.__.__k[e.__i]=e,Ge(a,e,r),n.__=n.__e=null,e.__e!=o&&Fe(e))}function Fe(t){if((t=t.__)&&t.__c&&!t.props.__P)return t.__e=null,t.__k.some(function(e){return e&&(t.__e=e.__e)}),Fe(t)}function He(t){(8&t.__g||(t.__g|=8,J.push(t),At++))&&ue==g.debounceRendering||((ue=g.debounceRendering)||queueMicrotask)(We)}function We(){try{for(var t,e=1;J.length;)J.length>e&&J.sort(Re),t=J.shift(),e=J.length,8&t.__g&&Vn(t)}finally{(At=J.length)&&(ue||queueMicrotask)(We)}}function Be(t,e,n,o,a,r,s,i,l,f,c){var v,p,u,d,C,y,b=o.__k||Ht,m=e.length;for(l=Gn(n,e,b,l,m),v=0;v<m;v++)(u=n.__k[v])!=null&&(p=~u.__i&&b[u.__i]||qt,u.__i=v,y=he(t,u,p,a,r,s,i,l,f,c),d=u.__e,(p.ref!=u.ref||8&p.__u)&&(p.ref&&de(p.ref,null,u,p),u.ref&&c.push(u.ref,u.__c||d,u)),C=C||d,4&u.__u?(l=ze(u,l,t,!p.__v),p.__e&&(p.__e=null)):typeof u.type=="function"&&y!==void 0?l=y:d&&(l=d.nextSibling),u.__u&=-21);return n.__e=C,l}function Gn(t,e,n,o,a){var r,s,i,l,f,c,v,p,u,d=n.length,C=d,y=0,b=0,m=t.__k=Array(a);for(r=0;r<a;r++)(s=e[r])!=null&&typeof s!="boolean"&&typeof s!="function"?(typeof s!="object"||s.constructor===String?s=m[r]=wt(null,s):_e(s)?s=m[r]=wt(st,{children:s}):s.constructor===$t&&s.__b?s=m[r]=wt(s.type,s.props,s.key,s.ref,s.__v):m[r]=s,l=r+y,s.__=t,s.__b=t.__b+1,i=null,~(f=s.__i=Jn(s,n,l,C))&&(C--,(i=n[f])&&(i.__u|=2)),i&&i.__v?(s.__u|=16,f==l-1?y--:f==l+1?y++:f!=l&&(f>l?y--:y++,b=1)):(~f||(a>d?y--:a<d&&y++),typeof s.type!="function"&&(s.__u|=4))):m[r]=null;if(b){for(c=[],v=[],r=0;r<a;r++)if((s=m[r])&&16&s.__u){for(y=0,p=c.length;y<p;)c[u=y+p>>1]<s.__i?y=u+1:p=u;c[y]=s.__i,v[r]=y+1}for(y=c.length;r--;)v[r]&&(v[r]==y?y--:m[r].__u|=4)}if(C)for(r=0;r<d;r++)!(i=n[r])||2&i.__u||(i.__e==o&&(o=Z(i)),ve(i,i));return o}function ze(t,e,n,o){var a,r,s,i;if(typeof t.type=="function"){if(t.props.__P)return e;if(a=t.__k)for(r=0;r<a.length;r++)a[r]&&(a[r].__=t,e=ze(a[r],e,n,!1));return e}for(e&&!e.parentNode&&(e=Z(t))&&!e.parentNode&&(e=null),s=t.__e,i=e;i&&i.nodeType==8;)i=i.nextSibling;for(s!=i&&(!o&&n.moveBefore&&s.parentNode?n.moveBefore(s,e):n.insertBefore(s,e||null)),e=s;(e=e&&e.nextSibling)&&e.nodeType==8&&!e.data.startsWith("$s"););return e}function Jn(t,e,n,o){var a,r=t.key,s=t.type,i=e[n],l=i&&!(2&i.__u);if(i===null&&r==null||l&&r==i.key&&s==i.type)return n;if(o>(l?1:0)){for(a=n-1;a>=0;a--)if((i=e[a])&&!(2&i.__u)&&r==i.key&&s==i.type)return a;for(a=n+1;a<e.length;a++)if((i=e[a])&&!(2&i.__u)&&r==i.key&&s==i.type)return a}return-1}function Le(t,e,n){n==null&&(n=""),e[0]=="-"?t.setProperty(e,n):t[e]=n}function Ot(t,e,n,o,a){var r,s;if(e=="style")if(typeof n=="string")t.style.cssText=n;else{if(typeof o=="string"&&(t.style.cssText=o=""),o)for(e in o)n&&e in n||Le(t.style,e);if(n)for(e in n)o&&n[e]==o[e]||Le(t.style,e,n[e])}else if(e[0]=="o"&&e[1]=="n")typeof n!="function"&&(n=null),typeof o!="function"&&(o=null),(t.__e||(t.__e={}))[e]=n,n&&o||(s=le[e]||(le[e]=Zn(e)),(t.__a||(t.__a={}))[e]=fe,r=e!=(e=e.replace(je,"$1")),(e=e.slice(2))[0]<"a"&&(e=e.toLowerCase()),n?t.addEventListener(e,s,r):t.removeEventListener(e,s,r));else{if(a=="http://www.w3.org/2000/svg")e=e.replace(/xlink(H|:h)/,"h").replace(/sName$/,"s");else if(e!="width"&&e!="height"&&e!="href"&&e!="list"&&e!="form"&&e!="tabIndex"&&e!="download"&&e!="rowSpan"&&e!="colSpan"&&e!="role"&&e!="popover"&&e in t)try{return void(t[e]=n??"")}catch{}if(typeof n=="function")return;n==null||n===!1&&e[4]!="-"?t.removeAttribute(e):t.setAttribute(e,e=="popover"&&n==1?"":n)}}function Zn(t){return function(e){var n=this.__e;if(n){if(n=n[t],e[Pt]==null)e[Pt]=fe++;else if(e[Pt]<this.__a[t])return;return n(g.event?g.event(e):e)}}}function he(t,e,n,o,a,r,s,i,l,f){var c,v,p,u,d,C,y,b,m,N,k,ie,Ae,Mt,nt,qe,G,ot,j=e.type;if(e.constructor!==$t)return null;128&n.__u&&(l=32&n.__u,c=n.__c.__z)&&(e.__u|=l,v=r=[],c.nodeType==8?i=Ut(c,r):r.push(c),i=r[0]||i),(c=g.__b)&&c(e);t:if(typeof j=="function"){p=s.length;try{if(b=e.props,m=(c=j.prototype)&&c.render,N=(c=j.contextType)&&o[c.__c],k=c?N?N.props.value:c.__:o,(u=n.__c)?(e.__c=u,2&u.__g&&(u.__g|=1)):(m?e.__c=u=new j(b,k):(e.__c=u=new _t(b,k),u.constructor=j,u.render=Qn),N&&N.sub(u),u.state||(u.state={}),u.__n=o,u.__g|=8,u.__h=[],u.__k=[]),m&&(u.__s||(u.__s=u.state),j.getDerivedStateFromProps&&(u.__s==u.state&&(u.__s=at({},u.__s)),at(u.__s,j.getDerivedStateFromProps(b,u.__s)))),d=u.props,C=u.state,u.__v=e,n.__c){if(b!==d&&m&&!j.getDerivedStateFromProps&&u.componentWillReceiveProps&&u.componentWillReceiveProps(b,k),e.__v==n.__v&&!(8&u.__g)||!(4&u.__g)&&u.shouldComponentUpdate&&u.shouldComponentUpdate(b,u.__s,k)===!1){e.__v!=n.__v&&(u.props=b,u.state=u.__s,u.__g&=-9),e.__e=n.__e,e.__k=n.__k,e.__k.some(function(D){D&&(D.__=e)}),Ht.push.apply(u.__h,u.__k),u.__k=[],u.__h.length&&s.push(u),i=Z(n);break t}u.componentWillUpdate&&u.componentWillUpdate(b,u.__s,k),m&&u.componentDidUpdate&&u.__h.push(function(){u.componentDidUpdate(d,C,y)})}else m&&!j.getDerivedStateFromProps&&u.componentWillMount&&u.componentWillMount(),m&&u.componentDidMount&&u.__h.push(u.componentDidMount);u.context=k,u.props=b,u.__P=t,u.__g&=-5,ie=g.__r,Ae=m?25:0;do u.__g&=-9,ie&&ie(e),c=u.render(u.props,u.state=u.__s,u.context);while(8&u.__g&&++Ae<25);m&&(Ht.push.apply(u.__h,u.__k),u.__k=[]),u.state=u.__s,u.getChildContext&&(o=at({},o,u.getChildContext())),m&&n.__c&&u.getSnapshotBeforeUpdate&&(y=u.getSnapshotBeforeUpdate(d,C)),Mt=c&&c.type===st&&c.key==null?c.props.children:c,b.__P&&(c=i,a=(t=b.__P).namespaceURI,l=r=null,n.props&&n.props.__P!=t&&(n.__k.some(function(D){D&&ve(D,D)}),n.__k=null),i=n.__k?Z(n,0):null),i=Be(t,_e(Mt)?Mt:[Mt],e,n,o,a,r,s,i,l,f),b.__P&&(e.__e=null,i=c),e.__u&=-161,v&&v.some(rt),u.__h.length&&s.push(u),1&u.__g&&(u.__g&=-4)}catch(D){if(s.length=p,e.__v=null,l||r)if(D&&D.then){if(e.__u|=128|l,r){for(~(G=r.indexOf(i||void 0))||(G=r.length);(ot=r[G-1])&&ot.nodeType==8;)G--;for(;G<r.length;G++)if(ot=r[G])if(r[G]=null,nt){if(ot==qe)break}else{if(ot.nodeType!=8)break;ot.data.startsWith("$s")&&(qe=Ut(nt=ot))}}if(!nt){for(;i&&i.nodeType==8&&i.nextSibling;)i=i.nextSibling;nt=i}(c=Ut(nt=e.__c.__z||(e.__c.__z=nt)))?(e.__e=nt,i=c):e.__e=i,i=i&&i.nextSibling}else r&&r.some(rt);else e.__e=n.__e;e.__k||(e.__k=n.__k||[]),D&&D.then||Ve(e),g.__e(D,e,n)}}else i=e.__e=Kn(n.__e,e,n,o,a,r,s,l,f,t);return(c=g.diffed)&&c(e),i}function Ut(t,e){if(t&&t.nodeType==8&&t.data.startsWith("$s"))for(var n=1;t=t.nextSibling;){if(t.nodeType==8){if(t.data.startsWith("$s"))n++;else if(t.data.startsWith("/$s")&&!--n)return t}e&&e.push(t)}}function Ve(t){t&&(t.__c&&(t.__c.__g|=4),t.__k&&t.__k.some(Ve))}function Ge(t,e,n){for(var o=0;o<n.length;)de(n[o++],n[o++],n[o++]);g.__c&&g.__c(e,t),t.some(function(a){try{t=a.__h,a.__h=[],t.some(function(r){r.call(a)})}catch(r){g.__e(r,a.__v)}})}function Kn(t,e,n,o,a,r,s,i,l,f){var c,v,p,u,d,C,y,b,m=n.props||qt,N=e.props,k=e.type;if(k=="svg"?a="http://www.w3.org/2000/svg":k=="math"?a="http://www.w3.org/1998/Math/MathML":a||(a="http://www.w3.org/1999/xhtml"),r){for(c=0;c<r.length;c++)if((d=r[c])&&(k?d.localName==k:d.nodeType==3)){t=d,r[c]=null;break}}if(!t){if(b=f.ownerDocument||document,!k)return b.createTextNode(N);t=b.createElementNS(a,k,N.is?N:f),i&&(g.__m&&g.__m(e,r),i=!1),r=null}if(k){if(f=k=="template"&&t.content||t,r=k=="textarea"&&N.defaultValue!=null?null:r&&pe.call(f.childNodes),!i&&r)for(m={},c=0;c<t.attributes.length;c++)m[(d=t.attributes[c]).name]=d.value;for(c in m)d=m[c],c=="dangerouslySetInnerHTML"?p=d:c=="children"||c in N||c=="value"&&"defaultValue"in N||c=="checked"&&"defaultChecked"in N||Ot(t,c,null,d,a);for(c in N)d=N[c],c=="children"?u=d:c=="dangerouslySetInnerHTML"?v=d:c=="value"?C=d:c=="checked"?y=d:i&&typeof d!="function"||m[c]===d||Ot(t,c,d,m[c],a);v?(i||p&&(v.__html==p.__html||v.__html==t.innerHTML)||(t.innerHTML=v.__html),e.__k=[]):(p&&(t.textContent=""),(k=="foreignObject"||a=="http://www.w3.org/1998/Math/MathML"&&zn.test(k))&&(a="http://www.w3.org/1999/xhtml"),Be(f,_e(u)?u:[u],e,n,o,a,r,s,r?r[0]:n.__k&&Z(n,0),i,l),r&&r.some(rt)),i&&k!="textarea"||(c="value",k=="progress"&&C==null?t.removeAttribute(c):C==null||C===t[c]&&(k!="progress"||C)||Ot(t,c,C,m[c],a),c="checked",y!=null&&y!=t[c]&&Ot(t,c,y,m[c],a))}else m===N||i&&t.data==N||(t.data=N);return t}function de(t,e,n,o){try{typeof t=="function"?e?e.__x=t(e)||1:o&&(o=o.__c||o.__e)&&(e=o.__x)&&(o.__x=null,typeof e=="function"?e():t(null)):t.current=e}catch(a){g.__e(a,n)}}function ve(t,e,n){var o,a,r,s;if(g.unmount&&g.unmount(t),!(o=t.ref)||o.current&&o.current!=t.__e||de(o,null,e,t),o=t.__c){if(o.componentWillUnmount)try{o.componentWillUnmount()}catch(i){g.__e(i,e)}o.__P=o.__n=null}if(o=t.__k)for(s=0;s<o.length;s++)o[s]&&ve(o[s],e,typeof t.type!="function"||n&&!t.props.__P);!n&&(o=t.__c)&&(o=o.__z)&&(a=Ut(o,r=[]))&&(o==t.__e&&r.some(rt),rt(a),rt(o)),n||rt(t.__e),t.__e=t.__c=t.__=null}function Qn(t,e,n){return this.constructor(t,n)}function Je(t,e){var n,o,a,r;g.__&&g.__(t,e),e.nodeType==9&&(e=e.documentElement),o=(n=t&&32&t.__u)?null:e.__k,e.__k=wt(st,{children:[t]}),a=[],r=[],he(e,e.__k,o||qt,qt,e.namespaceURI,o?null:e.firstChild?pe.call(e.childNodes):null,a,o?o.__e:e.firstChild,n,r),Ge(a,e.__k,r),e.__k.props.children=null}g={__e:function(t,e,n,o){for(var a,r,s;e=e.__;)if((a=e.__c)&&!(1&a.__g)){a.__g|=4;try{if((s=(r=a.constructor)&&r.getDerivedStateFromError)&&a.setState(r.getDerivedStateFromError(t)),a.componentDidCatch&&(a.componentDidCatch(t,o||{}),s=1),s&&8&a.__g)return void(a.__g|=2)}catch(i){t=i}}throw At=0,t}},Ie=0,ce=function(t){return t!=null&&t.constructor===$t},_t.prototype.setState=function(t,e){var n=this.__s;n&&n!=this.state||(n=this.__s=at({},this.state)),typeof t=="function"&&(t=t(at({},n),this.props)),t&&(at(n,t),this.__v&&(e&&this.__k.push(e),He(this)))},_t.prototype.forceUpdate=function(t){this.__v&&(this.__g|=4,t&&this.__h.push(t),He(this))},_t.prototype.render=st,J=[],At=0,Re=function(t,e){return t.__v.__b-e.__v.__b},Pt=Symbol(),je=/(PointerCapture)$|Capture$/i,fe=0,le={},Bn=0;var It,E,me,Ze,Xn=Object.is,ge=0,rn=[],ye=[],x=g,Ke=x.__b,Qe=x.__r,Xe=x.diffed,Ye=x.__c,tn=x.unmount,en=x.__;function an(t,e){x.__h&&x.__h(E,t,ge||e),ge=0;var n=E.__H||(E.__H={__:[],__h:[]});return t>=n.__.length&&n.__.push({}),n.__[t]}function $e(t,e){var n=an(It++,3);!x.__s&&sn(n.__H,e)&&(n.__P=!0,n.__=t,n.u=e,E.__H.__h.push(n))}function be(t){return ge=5,Rt(function(){return{current:t}},[])}function Rt(t,e){var n=an(It++,7);return sn(n.__H,e)&&(n.__=t(),n.__H=e),n.__}function Yn(){var t;do{for(;t=ye.shift();)try{bt(t)}catch(n){x.__e(n,{__:(t=t.__P)&&t.__v})}for(;t=rn.shift();){var e=t.__H;if(t.__P&&e)try{e.__h.some(bt),e.__h.some(we),e.__h=[]}catch(n){e.__h=[],x.__e(n,t.__v)}}}while(ye.length)}x.__b=function(t){E=null,Ke&&Ke(t)},x.__=function(t,e){t&&e.__k&&e.__k.__m&&(t.__m=e.__k.__m),en&&en(t,e)},x.__r=function(t){Qe&&Qe(t),It=0;var e=(E=t.__c).__H;e&&(me==E?E.__h=[]:(e.__h.some(bt),e.__h.some(we),It=0),e.__h=[],e.__.some(function(n){n.__N&&(n.__=n.__N),n.u=n.__N=void 0})),me=E},x.diffed=function(t){Xe&&Xe(t);var e=t.__c;e&&e.__H&&(e.__H.__h.length&&on(rn.push(e)),e.__H.__.some(function(n){n.u&&(n.__H=n.u)})),me=E=null},x.__c=function(t,e){e.some(function(n){try{n.__h.some(bt),n.__h=n.__h.filter(function(o){return!o.__||we(o)})}catch(o){n.__h=[function(){throw o}]}}),Ye&&Ye(t,e)},x.unmount=function(t){tn&&tn(t);var e,n,o=t.__c;o&&o.__H&&(o.__H.__.some(function(a){try{if(a.__P&&a.__c){if(n===void 0){for(n=t.__;n&&(!n.__c||!n.__c.__P);)n=n.__;n=n&&n.__c}a.__P=n,on(ye.push(a))}else bt(a)}catch(r){e=r}}),o.__H=void 0,e&&x.__e(e,o.__v))};var nn=typeof requestAnimationFrame=="function";function to(t){var e,n=function(){clearTimeout(o),nn&&cancelAnimationFrame(e),setTimeout(t)},o=setTimeout(n,35);nn&&(e=requestAnimationFrame(n))}function on(t){t!=1&&Ze==x.requestAnimationFrame||((Ze=x.requestAnimationFrame)||to)(Yn)}function bt(t){var e=E,n=t.__c;typeof n=="function"&&(t.__c=void 0,n()),E=e}function we(t){var e=E;t.__c=t.__(),E=e}function sn(t,e){return!t||t.length!=e.length||e.some(function(n,o){return!Xn(n,t[o])})}var eo=Symbol.for("preact-signals");function Bt(){if(F>1)F--;else{var t,e=!1;for((function(){var a=Ft;for(Ft=void 0;a!==void 0;){var r=a.S;if(r.v===a.v)for(var s=r.t;s!==void 0;s=s.x)s.i===a.i&&(s.i=r.i);a=a.o}})();xt!==void 0;){var n=xt;for(xt=void 0,jt++;n!==void 0;){var o=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&ln(n))try{n.c()}catch(a){e||(t=a,e=!0)}n=o}}if(jt=0,F--,e)throw t}}function W(t){if(F>0)return t();ke=++no,F++;try{return t()}finally{Bt()}}var kt,w=void 0;function St(t){var e=w,n=kt;w=void 0,kt=void 0;try{return t()}finally{w=e,kt=n}}var xt=void 0,F=0,jt=0,no=0,ke=0,Ft=void 0,Wt=0;function un(t){if(w!==void 0){var e=t.n;if(e===void 0||e.t!==w)return e={i:0,S:t,p:w.s,n:void 0,t:w,e:void 0,x:void 0,r:e},w.s!==void 0&&(w.s.n=e),w.s=e,t.n=e,32&w.f&&t.S(e),e;if(e.i===-1)return e.i=0,e.n!==void 0&&(e.n.p=e.p,e.p!==void 0&&(e.p.n=e.n),e.p=w.s,e.n=void 0,w.s.n=e,w.s=e),e}}function S(t,e){this.v=t,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=e?.watched,this.Z=e?.unwatched,this.name=e?.name}S.prototype.brand=eo;S.prototype.h=function(){return!0};S.prototype.S=function(t){var e=this,n=this.t;n!==t&&t.e===void 0&&(t.x=n,this.t=t,n!==void 0?n.e=t:St(function(){var o;(o=e.W)==null||o.call(e)}))};S.prototype.U=function(t){var e=this;if(this.t!==void 0){var n=t.e,o=t.x;n!==void 0&&(n.x=o,t.e=void 0),o!==void 0&&(o.e=n,t.x=void 0),t===this.t&&(this.t=o,o===void 0&&St(function(){var a;(a=e.Z)==null||a.call(e)}))}};S.prototype.subscribe=function(t){var e=this;return H(function(){var n=e.value;St(function(){return t(n)})},{name:"sub"})};S.prototype.valueOf=function(){return this.value};S.prototype.toString=function(){return this.value+""};S.prototype.toJSON=function(){return this.value};S.prototype.peek=function(){var t=this;return St(function(){return t.value})};Object.defineProperty(S.prototype,"value",{get:function(){var t=un(this);return t!==void 0&&(t.i=this.i),this.v},set:function(t){if(t!==this.v){if(jt>100)throw new Error("Cycle detected");(function(n){F!==0&&jt===0&&n.l!==ke&&(n.l=ke,Ft={S:n,v:n.v,i:n.i,o:Ft})})(this),this.v=t,this.i++,Wt++,F++;try{for(var e=this.t;e!==void 0;e=e.x)e.t.N()}finally{Bt()}}}});function h(t,e){return new S(t,e)}function ln(t){for(var e=t.s;e!==void 0;e=e.n)if(e.S.i!==e.i||!e.S.h()||e.S.i!==e.i)return!0;return!1}function cn(t){for(var e=t.s;e!==void 0;e=e.n){var n=e.S.n;if(n!==void 0&&(e.r=n),e.S.n=e,e.i=-1,e.n===void 0){t.s=e;break}}}function fn(t){for(var e=t.s,n=void 0;e!==void 0;){var o=e.p;e.i===-1?(e.S.U(e),o!==void 0&&(o.n=e.n),e.n!==void 0&&(e.n.p=o)):n=e,e.S.n=e.r,e.r!==void 0&&(e.r=void 0),e=o}t.s=n}function it(t,e){S.call(this,void 0,e),this.x=t,this.s=void 0,this.g=Wt-1,this.f=4}it.prototype=new S;it.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===Wt))return!0;if(this.g=Wt,this.f|=1,this.i>0&&!ln(this))return this.f&=-2,!0;var t=w;try{cn(this),w=this;var e=this.x();(16&this.f||this.v!==e||this.i===0)&&(this.v=e,this.f&=-17,this.i++)}catch(n){this.v=n,this.f|=16,this.i++}return w=t,fn(this),this.f&=-2,!0};it.prototype.S=function(t){if(this.t===void 0){this.f|=36;for(var e=this.s;e!==void 0;e=e.n)e.S.S(e)}S.prototype.S.call(this,t)};it.prototype.U=function(t){if(this.t!==void 0&&(S.prototype.U.call(this,t),this.t===void 0)){this.f&=-33;for(var e=this.s;e!==void 0;e=e.n)e.S.U(e)}};it.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var t=this.t;t!==void 0;t=t.x)t.t.N()}};Object.defineProperty(it.prototype,"value",{get:function(){if(1&this.f)throw new Error("Cycle detected");var t=un(this);if(this.h(),t!==void 0&&(t.i=this.i),16&this.f)throw this.v;return this.v}});function zt(t,e){return new it(t,e)}function _n(t){var e=t.j;if(t.j=void 0,typeof e=="function"){F++;var n=w;w=void 0;try{e()}catch(o){throw t.f&=-2,t.f|=8,xe(t),o}finally{w=n,Bt()}}}function xe(t){for(var e=t.s;e!==void 0;e=e.n)e.S.U(e);t.x=void 0,t.s=void 0,_n(t)}function oo(t){if(w!==this)throw new Error("Out-of-order effect");fn(this),w=t,this.f&=-2;try{8&this.f&&xe(this)}finally{Bt()}}function pt(t,e){this.x=t,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=e?.name,kt&&kt.push(this)}pt.prototype.c=function(){var t=this.S();try{if(8&this.f||this.x===void 0)return;var e=this.x();typeof e=="function"&&(this.j=e)}finally{t()}};pt.prototype.S=function(){if(1&this.f)throw new Error("Cycle detected");this.f|=1,this.f&=-9,_n(this),cn(this),F++;var t=w;return w=this,oo.bind(this,t)};pt.prototype.N=function(){2&this.f||(this.f|=2,this.u=xt,xt=this)};pt.prototype.d=function(){this.f|=8,1&this.f||xe(this)};pt.prototype.dispose=function(){this.d()};function H(t,e){var n=new pt(t,e);try{n.c()}catch(a){throw n.d(),a}var o=n.d.bind(n);return o[Symbol.dispose]=o,o}var pn,Gt,Vt,ro=typeof window<"u"&&!!window.__PREACT_SIGNALS_DEVTOOLS__;var hn=[];H(function(){pn=this.N})();function ht(t,e){g[t]=e.bind(null,g[t]||function(){})}function Ct(t){if(Vt){var e=Vt;Vt=void 0,e()}Vt=t&&t.S()}function dn(t){var e=this,n=t.data,o=so(n);o.name="ReactiveDom",o.value=n;var a=Rt(function(){for(var i=e,l=e.__v;l=l.__;)if(l.__c){l.__c.__$f|=4;break}var f=zt(function(){var u=o.value.value;return u===0?0:u===!0?"":u||""}),c=zt(function(){return!Array.isArray(f.value)&&!ce(f.value)}),v=H(function(){if(this.N=vn,c.value){var u=f.value;i.__v&&i.__v.__e&&i.__v.__e.nodeType===3&&(i.__v.__e.data=u)}}),p=e.__$u.d;return e.__$u.d=function(){v(),p.call(this)},[c,f]},[]),r=a[0],s=a[1];return r.value?s.peek():s.value}dn.displayName="ReactiveTextNode";Object.defineProperties(S.prototype,{constructor:{configurable:!0,value:Lt(st,null).constructor},type:{configurable:!0,value:dn},props:{configurable:!0,get:function(){var t=this;return{data:{get value(){return t.value}}}}},__b:{configurable:!0,value:1}});ht("__b",function(t,e){if(Ct(),Gt=void 0,typeof e.type=="string"){var n,o=e.props;for(var a in o)if(a!=="children"){var r=o[a];r instanceof S&&(n||(e.__np=n={}),n[a]=r,o[a]=r.peek())}}t(e)});ht("__r",function(t,e){if(t(e),e.type!==st){Ct();var n,o=e.__c;o&&(o.__$f&=-2,(n=o.__$u)===void 0&&(o.__$u=n=(function(a,r){var s;return H(function(){s=this},{name:r}),s.c=a,s})((function(a){return function(){var r;ro&&((r=this.y)==null||r.call(this)),a.__$f|=1,a.setState({})}})(o),typeof e.type=="function"?e.type.displayName||e.type.name:""))),Gt=o,Ct(n)}});ht("__e",function(t,e,n,o){Ct(),Gt=void 0,t(e,n,o)});ht("diffed",function(t,e){Ct(),Gt=void 0;var n;if(typeof e.type=="string"&&(n=e.__e)){var o=e.__np,a=e.props,r=n.U;if(r)for(var s in r){var i=r[s];i===void 0||o&&s in o||(i.d(),r[s]=void 0)}if(o){r||(r={},n.U=r);for(var l in o){var f=r[l],c=o[l];f===void 0?(f=ao(n,l,c,a),r[l]=f):f.o(c,a)}}}t(e)});function ao(t,e,n,o){var a=e in t&&t.ownerSVGElement===void 0,r=h(n);return{o:function(s,i){r.value=s,o=i},d:H(function(){this.N=vn;var s=r.value.value;o[e]!==s&&(o[e]=s,a?t[e]=s:s!=null&&(s!==!1||e[4]==="-")?t.setAttribute(e,s):t.removeAttribute(e))})}}ht("unmount",function(t,e){if(typeof e.type=="string"){var n=e.__e;if(n){var o=n.U;if(o){n.U=void 0;for(var a in o){var r=o[a];r&&r.d()}}}var s=e.__np;if(s){var i=e.props;for(var l in s)i[l]=s[l]}e.__np=void 0}else{var f=e.__c;if(f){f.__$f|=8;var c=f.__$u;c&&(f.__$u=void 0,c.d())}}t(e)});ht("__h",function(t,e,n,o){o<3&&(e.__$f|=2),t(e,n,o)});_t.prototype.shouldComponentUpdate=function(t,e){if(this.__R)return!0;var n=this.__$u,o=n&&n.s!==void 0;for(var a in e)return!0;if(this.__f||typeof this.u=="boolean"&&this.u===!0){var r=2&this.__$f;if(!(o||r||4&this.__$f)||1&this.__$f)return!0}else if(!(o||4&this.__$f)||3&this.__$f)return!0;for(var s in t)if(s!=="__source"&&t[s]!==this.props[s])return!0;for(var i in this.props)if(!(i in t))return!0;return!1};function so(t,e){return Rt(function(){return h(t,e)},[])}var io=function(t){queueMicrotask(function(){queueMicrotask(t)})};function uo(){W(function(){for(var t;t=hn.shift();)pn.call(t)})}function vn(){hn.push(this)===1&&(g.requestAnimationFrame||io)(uo)}var K=class extends Error{constructor(e,n){super(e.detail||e.title||`The gateway answered ${n}.`),this.status=e.status??n,this.violations=e.violations??[],this.requestId=e.request_id??""}},Se=()=>new K({detail:"The gateway does not answer. Is it running?"},0);async function lo(t){let e=await t.text().catch(()=>"");try{return new K(JSON.parse(e),t.status)}catch{return new K({},t.status)}}async function mn(t,e){let n;try{n=await fetch(t,{credentials:"same-origin",...e})}catch(o){throw o.name==="AbortError"?o:Se()}if(!n.ok)throw await lo(n);return n}function ut(t,e={}){let n=Object.entries(e).filter(([,a])=>a!==""&&a!==void 0),o=new URLSearchParams(n).toString();return o?`${t}?${o}`:t}async function P(t,{method:e="GET",body:n,signal:o}={}){let a={accept:"application/json"};return n!==void 0&&(a["content-type"]="application/json"),(await mn(t,{method:e,headers:a,signal:o,body:n===void 0?void 0:JSON.stringify(n)})).json()}function co(){let t=new TextDecoder,e="";return n=>{let o=(e+t.decode(n,{stream:!0})).split(`
`);return e=o.pop(),o.filter(a=>a.trim()!=="")}}async function Jt(t,e,n){let a=(await mn(t,{headers:{accept:"application/x-ndjson"},signal:n})).body.getReader(),r=co();try{for(;;){let{done:s,value:i}=await a.read();if(s)return;let l=r(i).map(v=>JSON.parse(v)),f=l.find(v=>v.error&&Object.keys(v).length===1),c=f?l.slice(0,l.indexOf(f)):l;if(c.length&&e(c),f)throw new K(f.error,f.error.status)}}catch(s){throw s.name==="AbortError"||s instanceof K?s:Se()}finally{a.releaseLock()}}function gn(t,e,n){let o=new XMLHttpRequest,a=new Promise((r,s)=>{o.upload.onprogress=i=>n(i.loaded),o.onload=()=>{let i={};try{i=JSON.parse(o.responseText)}catch{}o.status>=200&&o.status<300?r(i):s(new K(i,o.status))},o.onerror=()=>s(Se()),o.onabort=()=>s(new DOMException("cancelled","AbortError"))});return o.open("POST",t),o.setRequestHeader("content-type","application/octet-stream"),o.send(e),{answer:a,cancel:()=>o.abort()}}var wn=function(t,e,n,o){var a;e[0]=0;for(var r=1;r<e.length;r++){var s=e[r++],i=e[r]?(e[0]|=s?1:2,n[e[r++]]):e[++r];s===3?o[0]=i:s===4?o[1]=Object.assign(o[1]||{},i):s===5?(o[1]=o[1]||{})[e[++r]]=i:s===6?o[1][e[++r]]+=i+"":s?(a=t.apply(i,wn(t,i,n,["",null])),o.push(a),i[0]?e[0]|=2:(e[r-2]=0,e[r]=a)):o.push(i)}return o},yn=new Map;function $n(t){var e=yn.get(this);return e||(e=new Map,yn.set(this,e)),(e=wn(this,e.get(t)||(e.set(t,e=(function(n){for(var o,a,r=1,s="",i="",l=[0],f=function(p){r===1&&(p||(s=s.replace(/^\s*\n\s*|\s*\n\s*$/g,"")))?l.push(0,p,s):r===3&&(p||s)?(l.push(3,p,s),r=2):r===2&&s==="..."&&p?l.push(4,p,0):r===2&&s&&!p?l.push(5,0,!0,s):r>=5&&((s||!p&&r===5)&&(l.push(r,0,s,a),r=6),p&&(l.push(r,p,0,a),r=6)),s=""},c=0;c<n.length;c++){c&&(r===1&&f(),f(c));for(var v=0;v<n[c].length;v++)o=n[c][v],r===1?o==="<"?(f(),l=[l],r=3):s+=o:r===4?s==="--"&&o===">"?(r=1,s=""):s=o+s[0]:i?o===i?i="":s+=o:o==='"'||o==="'"?i=o:o===">"?(f(),r=1):r&&(o==="="?(r=5,a=s,s=""):o==="/"&&(r<5||n[c][v+1]===">")?(f(),r===3&&(l=l[0]),r=l,(l=l[0]).push(2,0,r),r=0):o===" "||o==="	"||o===`
`||o==="\r"?(f(),r=2):s+=o),r===3&&s==="!--"&&(r=4,l=l[0])}return f(),l})(t)),e),arguments,[])).length>1?e:e[0]}var _=$n.bind(Lt);var dt=["trace","debug","info","notice","warn","error","critical","fatal"];function bn(t,e){let n=t.trim(),o=dt.filter(r=>e.includes(r)).map(r=>`level:${r}`);if(o.length===0)return n;let a=o.length===1?o[0]:`(${o.join(" OR ")})`;return n?`(${n}) AND ${a}`:a}function kn({workspace:t,query:e,levels:n,from:o,to:a}){let r=new URLSearchParams;return t&&r.set("w",t),e&&r.set("q",e),n.length&&r.set("l",n.join(",")),o&&r.set("from",o),a&&r.set("to",a),r.toString()}function xn(t){let e=new URLSearchParams(t.replace(/^#/,"")),n=(e.get("l")??"").split(",").filter(o=>dt.includes(o));return{workspace:e.get("w")??"",query:e.get("q")??"",levels:n,from:e.get("from")??"",to:e.get("to")??""}}var Nt=xn(location.hash),B=h([]),$=h(Nt.workspace),Q=h(null),Et=h(null),vt=h(Nt.query),lt=h(Nt.levels),L=h(Nt.from),I=h(Nt.to);function Sn(){let t={workspace:$.value,query:vt.value,levels:lt.value,from:L.value,to:I.value};history.replaceState(null,"",`#${kn(t)}`)}function T(t){t?.name!=="AbortError"&&(Q.value=t)}function Cn(){let t=Q.value;if(!t)return null;let[e,...n]=t.message.split(`
`),o=(t.violations??[]).map(a=>a.description).filter(a=>!t.message.includes(a));return _`
    <div class="banner" role="alert" data-testid="error">
      <div class="banner-text">
        <p>${e}</p>
        ${n.length>0&&_`<pre>${n.join(`
`)}</pre>`}
        ${o.map(a=>_`<p>${a}</p>`)}
        ${t.requestId&&_`<p class="faint">Request ${t.requestId}</p>`}
      </div>
      <button class="quiet" aria-label="Dismiss" onClick=${()=>Q.value=null}>✕</button>
    </div>
  `}var fo=new Intl.NumberFormat("en-US"),Nn=["B","kB","MB","GB","TB"],U=t=>fo.format(t);function mt(t){let e=Number(t)||0,n=0;for(;e>=999.5&&n<Nn.length-1;)e/=1e3,n+=1;return`${n===0||e>=99.5?Math.round(e):e.toFixed(1)} ${Nn[n]}`}function ct(t){if(t<1)return`${Math.round(t*1e3)} ms`;if(t<60)return`${t<10?t.toFixed(1):Math.round(t)} s`;let e=Math.floor(t/60);return e<60?`${e} min ${Math.round(t%60)} s`:`${Math.floor(e/60)} h ${e%60} min`}var Zt=t=>t?Number.parseFloat(t):0,gt=t=>t?t.replace("T"," ").replace("Z","").slice(0,23):"";function En(t,e){if(!e||e.length===0)return[{text:t,marked:!1}];let n=/[\ud800-\udfff]/.test(t)?Array.from(t):null,o=(i,l)=>n?n.slice(i,l).join(""):t.slice(i,l),a=n?n.length:t.length,r=[],s=0;for(let{start:i,end:l}of e)i<s||l>a||i>=l||(i>s&&r.push({text:o(s,i),marked:!1}),r.push({text:o(i,l),marked:!0}),s=l);return s<a&&r.push({text:o(s,a),marked:!1}),r}function Ce(t){return t?`${t.length===16?`${t}:00`:t}Z`:""}var Ne=t=>t?t.slice(0,19):"",Kt=t=>t.slice(t.lastIndexOf("/")+1);function Ee(t,e){return t.length<=e?t:`…${t.slice(t.length-e+1)}`}var Qt=h(!1);async function _o(t){t.preventDefault();let e=new FormData(t.target).get("name").trim();if(e)try{let n=await P("/v1/workspaces",{method:"POST",body:{displayName:e}});B.value=[...B.value,n],$.value=n.name,Qt.value=!1}catch(n){T(n)}}function po(t){let e=Kt(t.name);return t.displayName&&t.displayName.toLowerCase()!==e?`${t.displayName} (${e})`:e}function ho(){let t=Et.value,e=Object.entries(t?.services??{}).filter(([,o])=>o.status!=="SERVING"),n=t===null?"connecting":t.ok?"ready":e.length?`${e.map(([o])=>o).join(", ")} not ready`:"no connection";return _`<span class="health ${t?.ok?"good":t===null?"":"bad"}" data-testid="health" role="status">${n}</span>`}function Tn(){return _`
    <header>
      <h1><img src="/assets/icon.svg" alt="" width="22" height="22" /> Log analyzer</h1>
      <label class="picker">
        <span>Workspace</span>
        <select
          data-testid="workspace"
          value=${$.value}
          onChange=${t=>$.value=t.target.value}
        >
          ${B.value.length===0&&_`<option value="">none</option>`}
          ${B.value.map(t=>_`<option key=${t.name} value=${t.name}>${po(t)}</option>`)}
        </select>
      </label>
      ${Qt.value?_`<form class="naming" onSubmit=${_o}>
            <input name="name" placeholder="Name of the workspace" maxlength="200" aria-label="Name of the new workspace" autofocus data-testid="workspace-name" />
            <button data-testid="workspace-create">Create</button>
            <button type="button" class="quiet" onClick=${()=>Qt.value=!1}>Cancel</button>
          </form>`:_`<button class="quiet" data-testid="workspace-new" onClick=${()=>Qt.value=!0}>New workspace</button>`}
      <${ho} />
    </header>
  `}var vo=30,mo=new Set(["SUCCEEDED","FAILED","CANCELLED"]),z=h([]),R=h([]),ft=h(0),M=t=>mo.has(t.state),Xt=new Map,Te="";function Yt(t){let e=z.value,n=e.findIndex(a=>a.name===t.name),o=M(t)&&n>=0&&!M(e[n]);W(()=>{z.value=n<0?[t,...e]:e.with(n,t),o&&(ft.value+=1)})}async function Dn(){let t=$.value;for(let e of Xt.values())e.abort();if(Xt=new Map,Te=t,z.value=[],!!t)try{let e=await P(ut(`/v1/${t}/imports`,{pageSize:vo}));if(Te!==t)return;z.value=e.imports;for(let n of e.imports)M(n)||De(n.name)}catch(e){T(e)}}async function De(t){let e=new AbortController;Xt.set(t,e);let n=()=>new Promise(a=>setTimeout(a,2e3)),o=null;for(;!e.signal.aborted&&!(o&&M(o));){try{await Jt(`/v1/${t}:watch`,a=>Yt(o=a.at(-1)),e.signal)}catch(a){if(a.name==="AbortError"||a.status===404)return}o&&M(o)||await n()}Xt.delete(t)}async function Mn(t){let e=await P(`/v1/${$.value}/imports`,{method:"POST",body:{sources:[{path:t}]}});Yt(e),M(e)||De(e.name)}async function On(t){let e=$.value,n=ut(`/v1/${e}/imports:upload`,{sourceName:t.name}),o={key:Symbol(t.name),name:t.name,size:t.size,sent:0,began:performance.now()},a=i=>{R.value=R.value.map(l=>l.key===o.key?{...l,...i}:l)},{answer:r,cancel:s}=gn(n,t,i=>a({sent:i}));R.value=[...R.value,{...o,cancel:s}];try{let i=await r;e===Te&&(Yt(i),M(i)||De(i.name))}catch(i){T(i)}finally{R.value=R.value.filter(i=>i.key!==o.key)}}async function Pn(t){try{Yt(await P(`/v1/${t}:cancel`,{method:"POST",body:{}}))}catch(e){T(e)}}var ee=h(""),te=h(!1);async function go(t){t.preventDefault();let e=ee.value.trim();if(e)try{await Mn(e),ee.value=""}catch(n){T(n)}}function Un(t){for(let e of t)On(e)}var yo={QUEUED:"waiting",RUNNING:"running",PAUSED:"paused",SUCCEEDED:"done",FAILED:"failed",CANCELLED:"cancelled"};function wo(t){let e=t.progress??{},n=[`${U(t.lineCount)} lines`,mt(t.byteCount)];return M(t)?t.endTime&&(t.startTime||t.createTime)&&n.push(ct((Date.parse(t.endTime)-Date.parse(t.startTime??t.createTime))/1e3)):(e.bytesPerSecond>0&&n.push(`${mt(e.bytesPerSecond)}/s`),e.eta&&n.push(`${ct(Zt(e.eta))} left`)),n.join(" · ")}function $o({one:t}){let e=t.progress??{},n=!M(t),o=Number(e.totalBytes)>0?Number(e.processedBytes)/Number(e.totalBytes):0,a=t.sources.flatMap(s=>s.errors??[]),r=Number(e.totalFiles)>1?`${U(e.processedFiles)} of ${U(e.totalFiles)} files`:"";return _`
    <li class="import state-${t.state.toLowerCase()}" data-testid="import" data-state=${t.state}>
      <div class="head">
        <span class="name" title=${t.sources.map(s=>s.path).join(`
`)}>
          ${t.sources.map(s=>Kt(s.path.replace(/\/+$/,""))||s.path).join(", ")}
        </span>
        <span class="state" data-testid="import-state">${yo[t.state]??t.state.toLowerCase()}</span>
      </div>
      ${n&&_`<progress max="1" value=${o} aria-label="Progress" data-testid="import-progress"></progress>`}
      <div class="facts">
        <span data-testid="import-facts">${wo(t)}</span>
        ${n&&_`<button class="quiet" data-testid="import-cancel" onClick=${()=>Pn(t.name)}>Cancel</button>`}
      </div>
      ${n&&r&&_`<div class="facts">${r}</div>`}
      ${t.errorMessage&&_`<p class="failure">${t.errorMessage}</p>`}
      ${a.length>0&&_`<details data-testid="import-errors">
        <summary>${U(t.errorCount)} ${Number(t.errorCount)===1?"file":"files"} could not be read whole</summary>
        <ul>
          ${a.slice(0,20).map(s=>_`<li><span class="path">${s.path}</span> ${s.message}</li>`)}
        </ul>
      </details>`}
    </li>
  `}function bo({one:t}){let e=t.sent/Math.max(.001,(performance.now()-t.began)/1e3),n=e>0?(t.size-t.sent)/e:0;return _`
    <li class="import state-running" data-testid="upload">
      <div class="head"><span class="name">${t.name}</span><span class="state">sending</span></div>
      <progress max=${t.size||1} value=${t.sent} aria-label="Sent"></progress>
      <div class="facts">
        <span>${mt(t.sent)} of ${mt(t.size)} · ${mt(e)}/s · ${ct(n)} left</span>
        <button class="quiet" onClick=${t.cancel}>Cancel</button>
      </div>
    </li>
  `}function An(){let t=n=>{n.preventDefault(),te.value=!1,Un(n.dataTransfer.files)},e=n=>{n.preventDefault(),te.value=!0};return _`
    <aside
      class="imports ${te.value?"dragging":""}"
      aria-label="Imports"
      onDragOver=${e}
      onDragLeave=${()=>te.value=!1}
      onDrop=${t}
    >
      <h2>Imports</h2>
      <form onSubmit=${go}>
        <input
          data-testid="import-path"
          aria-label="Path to import"
          placeholder="/var/log or an archive"
          spellcheck=${!1}
          value=${ee.value}
          onInput=${n=>ee.value=n.target.value}
        />
        <button data-testid="import-start" disabled=${!$.value}>Import</button>
      </form>
      <label class="file">
        <input
          type="file"
          multiple
          data-testid="import-file"
          disabled=${!$.value}
          onChange=${n=>{Un(n.target.files),n.target.value=""}}
        />
        <span>Choose files to upload, or drop them here</span>
      </label>
      <ul class="list" data-testid="imports">
        ${R.value.map(n=>_`<${bo} key=${n.key} one=${n} />`)}
        ${z.value.map(n=>_`<${$o} key=${n.name} one=${n} />`)}
      </ul>
    </aside>
  `}var Me=5e3,et=h([]),A=h(!1),Oe=h(!1),Dt=h(null),Tt=h(null),ne=h(null),oe=h(null),O=h(-1),tt=h(null),Y=null;function re(){Y?.abort()}async function q(){if(re(),!$.value)return;let t=new AbortController;Y=t;let e=[],n=performance.now(),o=()=>(performance.now()-n)/1e3;W(()=>{et.value=e,A.value=Oe.value=!0,Dt.value=Tt.value=ne.value=oe.value=tt.value=Q.value=null,O.value=-1}),Sn();let a={query:bn(vt.value,lt.value),startTime:Ce(L.value),endTime:Ce(I.value)},r=`/v1/${$.value}/logs`;xo(`${r}:histogram`,a,t);try{await Jt(ut(`${r}:search`,{...a,pageSize:Me}),s=>ko(s,e,o,t),t.signal),Y===t&&(Tt.value=o())}catch(s){Y===t&&T(s)}finally{Y===t&&(A.value=!1)}}function ko(t,e,n,o){Y===o&&W(()=>{let a=e.length;for(let r of t)r.hits&&e.push(...r.hits.hits);e.length>a&&(a===0&&(Dt.value=n()),et.value=e.slice(0))})}async function xo(t,e,n){try{let o=await P(ut(t,{...e,bucketCount:80}),{signal:n.signal});if(Y!==n)return;W(()=>{oe.value=o,ne.value=Number(o.totalSize)})}catch(o){Y===n&&T(o)}}async function ae(t){let e=et.value[t];if(e){O.value=t,tt.value={hit:e,before:[],after:[],loading:!0};try{let n=`/v1/${$.value}/logs/${encodeURIComponent(e.id)}:context`,o=await P(ut(n,{before:6,after:6}));O.value===t&&(tt.value={...o,highlights:e.highlights,loading:!1})}catch(n){O.value===t&&(tt.value=null),T(n)}}}function Pe(){tt.value=null}var se=64,So=[...dt].reverse().map(t=>t.toUpperCase());function Co(t,e){let n=new Map(t.levels.map(l=>[l.level,Number(l.count)])),o=Number(t.count),a=So.map(l=>[l.toLowerCase(),n.get(l)??0]).filter(([,l])=>l>0),r=o-a.reduce((l,[,f])=>l+f,0);r>0&&a.push(["none",r]);let s=o===0?0:Math.max(2,o/e*se),i=se;return a.map(([l,f])=>{let c=f/o*s;return i-=c,{level:l,y:i,height:c}})}function No(t,e){let n=Date.parse(t.startTime);L.value=Ne(new Date(n).toISOString()),I.value=Ne(new Date(n+e*1e3).toISOString()),q()}function qn(){let t=oe.value;if(!t||t.buckets.length===0)return null;let e=Zt(t.bucketWidth),n=Math.max(...t.buckets.map(i=>Number(i.count)),1),o=1e3/t.buckets.length,a=t.buckets[0],r=t.buckets.at(-1),s=Number(t.undatedCount);return _`
    <figure class="histogram" data-testid="histogram">
      <svg viewBox="0 0 1000 ${se}" preserveAspectRatio="none" role="img" aria-label="Matching lines by time">
        ${t.buckets.map((i,l)=>_`<g key=${i.startTime} class="bar" onClick=${()=>No(i,e)}>
            <title>${gt(i.startTime)} UTC: ${U(i.count)} lines</title>
            <rect class="hit" x=${l*o} y="0" width=${o} height=${se} />
            ${Co(i,n).map(f=>_`<rect
                key=${f.level}
                class="fill-${f.level}"
                x=${l*o+o*.1}
                y=${f.y}
                width=${o*.8}
                height=${f.height}
              />`)}
          </g>`)}
      </svg>
      <figcaption>
        <span>${gt(a.startTime).slice(0,19)}</span>
        <span class="faint">${s>0?`${U(s)} lines have no time`:"click a bar to look closer"}</span>
        <span>${gt(new Date(Date.parse(r.startTime)+e*1e3).toISOString()).slice(0,19)}</span>
      </figcaption>
    </figure>
  `}var V=24,Hn=20,yt=h({top:0,height:600}),Eo=t=>`${Ee(t.source,32-String(t.lineNumber).length)}:${t.lineNumber}`,Ln=t=>t.level==="LEVEL_UNSPECIFIED"?"":t.level.toLowerCase();function In({hit:t,highlights:e=t.highlights}){return En(t.text,e).map(n=>n.marked?_`<mark>${n.text}</mark>`:n.text)}function To(){let t=et.value.length,e=ne.value,n=[];return e!==null?n.push(_`<strong data-testid="total">${U(e)}</strong> ${e===1?"line":"lines"}`):Oe.value&&A.value&&n.push("counting"),t<(e??0)&&!A.value&&t>=Me&&n.push(`first ${U(t)} shown`),Dt.value!==null&&n.push(_`first hit after <span data-testid="first-hit">${ct(Dt.value)}</span>`),Tt.value!==null&&n.push(_`<span data-testid="took">${ct(Tt.value)}</span> in all`),_`
    <p class="status" role="status" data-testid="status">
      ${A.value&&_`<span class="spinner" aria-hidden="true"></span> searching…${" "}`}
      ${n.map((o,a)=>_`${a>0&&" · "}${o}`)}
    </p>
  `}function Do({hit:t,index:e}){return _`
    <div
      id="row-${e}"
      class="row ${O.value===e?"selected":""}"
      role="option"
      aria-selected=${O.value===e?"true":"false"}
      data-testid="row"
      style=${{top:`${e*V}px`}}
      onClick=${()=>ae(e)}
    >
      <span class="when">${gt(t.timestamp)}</span>
      <span class="level level-${Ln(t)}">${Ln(t)}</span>
      <span class="where" title="${t.source}:${t.lineNumber}">${Eo(t)}</span>
      <span class="text"><${In} hit=${t} /></span>
    </div>
  `}function Mo(){let t=be(null),e=et.value;$e(()=>{let r=()=>yt.value={top:t.current.scrollTop,height:t.current.clientHeight},s=new ResizeObserver(r);return s.observe(t.current),()=>s.disconnect()},[]);let n=r=>{let s=Math.max(1,Math.floor(yt.value.height/V)-1),i={ArrowDown:1,ArrowUp:-1,PageDown:s,PageUp:-s,Home:-e.length,End:e.length};if(r.key==="Enter")ae(O.value);else if(r.key==="Escape")Pe();else if(r.key in i){let l=Math.min(e.length-1,Math.max(0,O.value+i[r.key]));O.value=l;let{scrollTop:f,clientHeight:c}=t.current;l*V<f?t.current.scrollTop=l*V:(l+1)*V>f+c&&(t.current.scrollTop=(l+1)*V-c),tt.value&&ae(l)}else return;r.preventDefault()},o=Math.max(0,Math.floor(yt.value.top/V)-Hn),a=Math.min(e.length,Math.ceil((yt.value.top+yt.value.height)/V)+Hn);return _`
    <div
      class="rows"
      ref=${t}
      role="listbox"
      aria-label="Matching lines"
      aria-activedescendant=${O.value>=0?`row-${O.value}`:void 0}
      tabindex="0"
      data-testid="rows"
      onKeyDown=${n}
      onScroll=${()=>yt.value={top:t.current.scrollTop,height:t.current.clientHeight}}
    >
      <div class="rows-all" style=${{height:`${e.length*V}px`}}>
        ${e.slice(o,a).map((r,s)=>_`<${Do} key=${r.id} hit=${r} index=${o+s} />`)}
      </div>
      ${e.length===0&&_`<${Oo} />`}
    </div>
  `}function Oo(){if(A.value||Q.value)return null;let t=R.value.length>0||z.value.some(e=>!M(e));return $.value?t?_`<p class="nothing" data-testid="nothing">Nothing found yet. Lines can be found as parts of the import are done.</p>`:z.value.length===0?_`<p class="nothing" data-testid="nothing">Nothing is imported here yet. Start with a path or a file on the right.</p>`:_`<p class="nothing" data-testid="nothing">No line matches.</p>`:_`<p class="nothing">Make a workspace first.</p>`}function Po(){let t=tt.value;if(!t)return null;let e=(n,o)=>_`
    <li key=${n.id} class="${o?"main":""} ${n.recordId===t.hit.recordId?"same":""}" data-testid=${o?"context-hit":"context-line"}>
      <span class="number">${n.lineNumber}</span>
      <span class="text">${o?_`<${In} hit=${n} highlights=${t.highlights??n.highlights} />`:n.text||" "}</span>
    </li>
  `;return _`
    <section class="context" aria-label="Context of the line" data-testid="context">
      <header>
        <h2 title=${t.hit.source}>${Ee(t.hit.source,120)}</h2>
        <button class="quiet" aria-label="Close context" data-testid="context-close" onClick=${Pe}>✕</button>
      </header>
      <ol>
        ${t.before.map(n=>e(n,!1))}
        ${e(t.hit,!0)}
        ${t.after.map(n=>e(n,!1))}
      </ol>
    </section>
  `}function Rn(){let t=ft.value>0;return _`
    <div class="bar-line">
      <${To} />
      ${t&&_`<button
        class="quiet"
        data-testid="refresh"
        onClick=${()=>{ft.value=0,q()}}
      >New lines were imported: search again</button>`}
    </div>
    <${qn} />
    <${Mo} />
    <${Po} />
  `}function Uo(t){let e=lt.value;lt.value=e.includes(t)?e.filter(n=>n!==t):[...e,t],q()}function Ao(t){t.preventDefault(),q()}function qo(){L.value=I.value="",q()}var Ue=t=>e=>t.value=e.target.value;function jn(){let t=L.value||I.value;return _`
    <form class="query" role="search" onSubmit=${Ao} onKeyDown=${e=>e.key==="Escape"&&re()}>
      <div class="line">
        <input
          type="search"
          class="box"
          data-testid="query"
          aria-label="Query"
          placeholder='timeout AND (disk OR "read error") NOT debug — empty shows everything'
          autocomplete="off"
          spellcheck=${!1}
          autofocus
          value=${vt.value}
          onInput=${Ue(vt)}
        />
        ${A.value?_`<button type="button" class="stop" data-testid="cancel" onClick=${re}>Cancel</button>`:_`<button class="main" data-testid="search" disabled=${!$.value}>Search</button>`}
      </div>
      <div class="line filters">
        <div class="chips" role="group" aria-label="Levels">
          ${dt.map(e=>_`<button
              key=${e}
              type="button"
              class="chip level-${e}"
              aria-pressed=${lt.value.includes(e)?"true":"false"}
              data-testid="level-${e}"
              onClick=${()=>Uo(e)}
            >${e}</button>`)}
        </div>
        <div class="range">
          <label>From <input type="datetime-local" step="1" data-testid="from" value=${L.value} onChange=${Ue(L)} /></label>
          <label>to <input type="datetime-local" step="1" data-testid="to" value=${I.value} onChange=${Ue(I)} /></label>
          <span class="faint">UTC</span>
          ${t&&_`<button type="button" class="quiet" data-testid="range-clear" onClick=${qo}>Any time</button>`}
        </div>
      </div>
    </form>
  `}var Fn=h(!1);async function Ho(){try{let{workspaces:t}=await P("/v1/workspaces?pageSize=1000");B.value=t.filter(n=>!n.deleting),B.value.some(n=>n.name===$.value)||($.value=B.value[0]?.name??"")}catch(t){T(t)}Fn.value=!0}async function Wn(){try{let t=await fetch("/readyz");Et.value={ok:t.ok,services:(await t.json()).services??{}}}catch{Et.value={ok:!1,services:{}}}setTimeout(Wn,document.hidden?3e4:5e3)}function Lo(){return _`
    <${Tn} />
    <${Cn} />
    <main>
      <section class="search" aria-label="Search">
        <${jn} />
        <${Rn} />
      </section>
      <${An} />
    </main>
  `}Je(_`<${Lo} />`,document.getElementById("app"));Ho();Wn();H(()=>{if(!Fn.value)return;let t=$.value;queueMicrotask(()=>{Dn(),t&&q()})});H(()=>{ft.value!==0&&queueMicrotask(()=>{et.value.length>0||A.value||(ft.value=0,q())})});
