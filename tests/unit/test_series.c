/* stores/series */
int main(void){return 0;}
